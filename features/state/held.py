"""How many closes the levels of a signal have held so far, for signals whose levels wait (docs/signals.md).

Arrays of one enterprise, a place for each signal (and lender) of which a level counts: held_key uint64 (16) the
signal's hash, 0: free; held_bank int8 (16) the slot of the lender that it is about, -1: of all; held_closes uint32 (16)
closes in a row by level, packed as detectors/rules/machine.py reads them.
"""

from kernels.decorators import kernel

PLACES = 16
_NONE = -1


@kernel
def _find(e, key, bank):
    for i in range(PLACES):
        if e.held_key[i] == key and e.held_bank[i] == bank:
            return i
    return _NONE


@kernel
def closes(e, key, bank):
    """Return the packed closes of a signal (and lender), int64; 0 where none of its levels counts."""
    i = _find(e, key, bank)
    return 0 if i == _NONE else int(e.held_closes[i])


@kernel
def keep(e, key, bank, packed):
    """Keep the packed closes of a signal; return False where they find no place."""
    i = _find(e, key, bank)
    if packed == 0:
        if i != _NONE:
            _free(e, i)
        return True
    if i == _NONE:
        i = _find(e, 0, 0)
    if i == _NONE:
        return False
    e.held_key[i], e.held_bank[i], e.held_closes[i] = key, bank, packed
    return True


@kernel
def forget_bank(e, bank):
    """Free the places of signals about the bank in this slot."""
    for i in range(PLACES):
        if e.held_bank[i] == bank and e.held_key[i] != 0:
            _free(e, i)


@kernel
def forget_all_but(e, keys, counts):
    """Free the places of signals that are not among `keys` uint64 (n,) with `counts` bool (n,) true."""
    for i in range(PLACES):
        kept = False
        for s in range(keys.shape[0]):
            kept |= keys[s] == e.held_key[i] and counts[s]
        if not kept:
            _free(e, i)


@kernel
def _free(e, i):
    e.held_key[i], e.held_bank[i], e.held_closes[i] = 0, 0, 0
