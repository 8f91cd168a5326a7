"""The audit on the command line: `python -m ticket_service.audit`.

Prints every fault in the database that the environment names. The exit status is 1 if there is
one, else 0.
"""

from __future__ import annotations

import sys

from ticket_service.config import Settings
from ticket_service.services.audit import AUDIT_TIMEOUT_MS, Audit
from ticket_service.stores.database import Database
from ticket_service.stores.postgres import Postgres


def main() -> None:
    """Run the audit, print the faults, and exit."""
    settings = Settings.from_environment()
    database = Database(settings.database_url, settings.db_schema)
    faults = Audit(Postgres(database, "audit", 1, AUDIT_TIMEOUT_MS)).faults()
    for fault in faults:
        print(f"{fault['rule']}: {fault['row']}")
    print(f"{len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
