"""The arguments of `voicewire users`, apart from what they need to be done: that takes a second to import."""

from __future__ import annotations

import argparse

WHO = "whose, by address or id"


def add_users(command: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Give the command its actions, and return these."""
    actions = command.add_subparsers(dest="action", required=True, metavar="action")
    listing = actions.add_parser("list", help="list people")
    listing.add_argument("search", nargs="?", default="", help="only who has this in address or name")
    add = actions.add_parser("add", help="add a person, and print a link that sets their password")
    add.add_argument("email", help="their address, which needs no proof")
    add.add_argument("--name", default="", help="what they are called")
    add.add_argument("--admin", action="store_true", help="let them see and change everything")
    add.add_argument("--tenant", help="which they join as owners (default: home for an admin, else one of their own)")
    role = actions.add_parser("role", help="make a person an admin, or not")
    suspend = actions.add_parser("suspend", help="let a person and their keys do nothing any more")
    restore = actions.add_parser("restore", help="let a suspended person back")
    password = actions.add_parser("password", help="print a link that sets a person's password")
    for action in (role, suspend, restore, password):
        action.add_argument("who", help=WHO)
    role.add_argument("role", help="creator or admin")
    for action in (add, password):
        action.add_argument("--stdin", action="store_true", help="set the first line of the standard input instead")
    return [listing, add, role, suspend, restore, password]
