"""Print a token such as the Auth Service would sign: `python -m dev.make_token [admin]`."""

import argparse
import os
import sys
import time
from uuid import UUID

import jwt

from dev.workspace import DEMO_ADMIN_ID, DEMO_BUYER_ID, jwt_secret

DAY = 86_400


def make_token(user_id: str, role: str, secret: str) -> str:
    """Sign a token that is valid for one day from now."""
    now = int(time.time())
    claims = {
        "userId": user_id,
        "email": f"{role}@example.com",
        "role": role,
        "iat": now,
        "exp": now + DAY,
    }
    return jwt.encode(claims, secret, algorithm="HS256")


def main() -> None:
    """Print the token for the arguments. Refuses in production, where the Auth Service signs."""
    parser = argparse.ArgumentParser(prog="make token")
    parser.add_argument("role", nargs="?", choices=["user", "admin"], default="user")
    parser.add_argument("--user-id", type=UUID)
    arguments = parser.parse_args()
    if os.environ.get("ENVIRONMENT", "").lower() == "production":
        sys.exit("make token: this is for development, ENVIRONMENT is production.")
    demo_id = DEMO_ADMIN_ID if arguments.role == "admin" else DEMO_BUYER_ID
    print(make_token(str(arguments.user_id or demo_id), arguments.role, jwt_secret()))


if __name__ == "__main__":
    main()
