"""Everything by which anybody proves to Kafka who he is, changed under load in the order of the chart's README."""

import asyncio

from ops.chaos.faults import Breaking, restart
from ops.chaos.site import MECHANISMS, Site
from ops.secured.authority import Authority
from ops.secured.broker import admin, look_again, set_passwords
from ops.secured.keys import ADMIN, Keys


async def rotate(breaking: Breaking) -> None:
    """A new authority, certificate and password for everybody; each worker is stopped by SIGTERM once it has its own.

    In the end every connection is cut, so that each is made anew by what its worker holds.
    """
    site = breaking.site
    if site.keys is None:
        raise ValueError("nobody is asked who he is here")
    keys, old, new = site.keys, site.keys.authority, Authority.found(f"authority {breaking.rounds}")
    await breaking.pause(1, 2)
    keys.trust(old, new)
    await _look_again(site, keys)
    keys.authority = new
    for user in (ADMIN, "publisher"):
        keys.certify(user)
    for worker in site.workers:
        await _renew(site, keys, worker)
        await restart(breaking, worker)
    await _look_again(site, keys)
    keys.trust(new)
    await _look_again(site, keys)
    async with breaking.noted("every connection cut"):
        for proxy in site.proxied("kafka"):
            proxy.reset_peer()


async def _renew(site: Site, keys: Keys, worker: str) -> None:
    """What the worker proves itself by, anew; a password that it holds is good for no new connection from now on."""
    user, _, side = worker.rpartition("-")
    if MECHANISMS[side] == "SSL":
        keys.certify(user)
    else:
        passwords = {user: keys.new_password(user)}
        await asyncio.to_thread(set_passwords, admin(keys, site.settings.kafka), passwords)
        site.proxies[f"kafka-{side}"].reset_peer()  # it waits, refused, until it is started again


async def _look_again(site: Site, keys: Keys) -> None:
    await asyncio.to_thread(look_again, admin(keys, site.settings.kafka), keys, site.listeners)
