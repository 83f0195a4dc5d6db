"""A broker that asks who one is: its certificate, its passwords, and the settings that `secured.properties` begins."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from config.settings import KafkaSettings
from embedded.children import Child, ChildFailed

ADMIN = "admin"
LISTENERS = ("SASL_SSL", "BROKER", "CONTROLLER")
_BROKER = "CN=xinliu-broker"
_VALID_DAYS = 3_650
_PASSWORD_BYTES = 24
_KEYTOOL_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Secured:
    """The secrets of one broker, in its directory: made once, in a folder of their owner alone."""

    directory: Path

    @property
    def ca_file(self) -> Path:
        """The broker's certificate, which clients trust (PEM)."""
        return self.directory / "broker.pem"

    @property
    def admin_password_file(self) -> Path:
        """The password of the super user `admin`."""
        return self.directory / "admin.password"

    def client(self, bootstrap: str, user: str = ADMIN, password_file: Path | None = None) -> KafkaSettings:
        """Return the settings of a client, the super user's where no other is named."""
        return KafkaSettings(
            bootstrap=bootstrap,
            security_protocol="SASL_SSL",
            sasl_username=user,
            sasl_password_file=str(password_file or self.admin_password_file),
            ca_file=str(self.ca_file),
        )

    def make(self, keytool: Path, log: Path) -> None:
        """Make certificate and passwords where there are none. Raise ChildFailed where keytool fails."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.ca_file.exists():
            return
        for path in (self.admin_password_file, self._store_password_file):
            write_private(path, secrets.token_urlsafe(_PASSWORD_BYTES))
        self._store.unlink(missing_ok=True)  # of a start that was broken off
        store = ["-alias", "broker", "-keystore", self._store, "-storetype", "PKCS12", "-storepass:file"]
        store += [self._store_password_file]
        made = ["-genkeypair", *store, "-keyalg", "EC", "-groupname", "secp256r1", "-dname", _BROKER]
        made += ["-validity", _VALID_DAYS, "-ext", "san=ip:127.0.0.1,dns:localhost", "-ext", "bc:critical=ca:true"]
        for words in (made, ["-exportcert", *store, "-rfc", "-file", self.ca_file]):
            with Child("keytool", [keytool, *map(str, words)], log=log).launch() as running:
                if running.wait(_KEYTOOL_S_MAX):
                    raise ChildFailed(f"keytool made no certificate in {self.directory}: {running.log_tail()}")
        self._store.chmod(0o600)

    def format_words(self) -> list[str]:
        """Return further words of the format of a new directory: the super user, in a file and in no list of processes.

        Raise OSError where the file cannot be written.
        """
        words = self.directory / "format.words"
        password = self.admin_password_file.read_text()
        write_private(words, f"--add-scram\nSCRAM-SHA-512=[name={ADMIN},password={password}]\n")
        return [f"@{words}"]

    def properties(self) -> str:
        """Return the broker's settings, beside its listeners."""
        password = self._store_password_file.read_text()
        own = {
            "ssl.keystore.location": self._store,
            "ssl.keystore.password": password,
            "ssl.key.password": password,
            "ssl.truststore.location": self.ca_file,
        }
        fixed = Path(__file__).with_name("secured.properties").read_text()
        return fixed + "".join(f"{name}={value}\n" for name, value in own.items())

    @property
    def _store(self) -> Path:
        return self.directory / "broker.p12"

    @property
    def _store_password_file(self) -> Path:
        return self.directory / "store.password"


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone may read. Raise OSError where that fails."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
