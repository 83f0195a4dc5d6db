"""How events flow: transport, ingest, score, learn, archive."""
