"""What the development tools share: their folder, their secret, and the demo users."""

import os
import secrets
from pathlib import Path

ROOT = Path(__file__).parents[1]

DEMO_BUYER_ID = "d0000000-0000-4000-8000-000000000001"
DEMO_ADMIN_ID = "d0000000-0000-4000-8000-000000000002"


def data_dir() -> Path:
    """The folder for the data of `make run`, made if missing: DEV_DATA_DIR, or `.dev`."""
    folder = Path(os.environ.get("DEV_DATA_DIR") or ROOT / ".dev").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def jwt_secret() -> str:
    """JWT_SECRET, or a random secret that is made once, for `make token` and `make run` alike."""
    if given := os.environ.get("JWT_SECRET"):
        return given
    kept = data_dir() / "jwt_secret"
    if not kept.exists():
        draft = kept.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        draft.rename(kept)
    return kept.read_text()
