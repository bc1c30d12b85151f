"""The rows of the fault matrix that are run: a fault, and calls to run it under."""

from collections.abc import Mapping
from dataclasses import dataclass

from ops.chaos import faults, rotation
from ops.chaos.calls import Mix, Permission
from ops.chaos.faults import Round

USUAL = (Mix(),)
BOTH_KINDS = (Mix(), Mix(), Mix(one_channel=1.0))  #: too short to score much of those on one channel; all has a fate
#: At 5 % each hardly a turn is long enough for a window, so that every other call has 1 %.
DISTURBED = tuple(Mix(duplicate=share, swapped=share, late=share, missing=share) for share in (0.01, 0.05))
POISON = tuple(Mix(poison=share) for share in (0.01, 0.1, 1.0))
REVOKED = (
    Mix(
        permissions=(
            (Permission.GIVEN, 0.3),
            (Permission.NONE, 0.1),
            (Permission.LATER, 0.1),
            (Permission.WITHDRAWN, 0.35),
            (Permission.REGRETTED, 0.15),
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `what` is broken while `calls` calls are published, `lanes` at a time and `speed` times real time."""

    number: int
    what: str
    round: Round
    mixes: tuple[Mix, ...] = USUAL  #: one after the other, call by call
    calls: int = 36
    lanes: int = 6
    speed: float = 6.0
    control: bool = False  #: the stock Faust agent runs beside it
    most_rounds: int = 1000
    real_bundle: bool = False
    secured: bool = False  #: Kafka asks everybody who he is, and allows what the chart's table does


ROWS: Mapping[str, Row] = {
    "1": Row(1, "kill -9 one worker", faults.kill_one_and_the_control, control=True),
    "2": Row(2, "kill -9 all workers at once", faults.kill_all, BOTH_KINDS),
    "4": Row(4, "SIGTERM, one worker after the other", faults.restart_next, BOTH_KINDS, calls=60),
    "5": Row(5, "killed faster than anything is committed", faults.crash_loop, most_rounds=1),
    "7": Row(7, "broker restarted, cleanly and by kill -9", faults.restart_broker),
    "8": Row(8, "broker frozen, 5 to 35 s", faults.freeze_broker),
    "9": Row(9, "half of the workers cut off the broker", faults.part_one_side),
    "10": Row(10, "workers cut off PostgreSQL", faults.part_postgres),
    "11": Row(11, "broker deaf in one direction", faults.one_way),
    "12": Row(12, "200 ms latency, 256 kbit/s", faults.slow_network, speed=2.0, calls=12),
    "12m": Row(
        12, "one machine of two gone, 128 kbit/s towards the broker", faults.lose_a_machine, speed=2.0, calls=18
    ),
    "13": Row(13, "connections reset, cut, sliced", faults.resets),
    "14": Row(14, "PostgreSQL kill -9 and restarted", faults.restart_postgres, control=True),
    "15": Row(15, "PostgreSQL's tables locked, no connection left", faults.lock_tables),
    "18": Row(18, "inference slow", faults.slow_scorer),
    "19": Row(19, "inference down, failing, deaf, killed", faults.no_scorer),
    "20": Row(20, "unusable records, 1, 10 and 100 %", faults.nothing, mixes=POISON),
    "21": Row(21, "duplicate, swapped, late and missing chunks, 1 or 5 % each", faults.nothing, mixes=DISTURBED),
    "23": Row(23, "worker frozen and woken as a zombie", faults.freeze_worker),
    "25": Row(
        25,
        "consent withdrawn under rows 1, 7 and 10",
        faults.each_of(faults.kill_one, faults.part_postgres, faults.restart_broker),
        mixes=REVOKED,
        calls=60,
    ),
    "26": Row(26, "passwords, certificates and their authority changed", rotation.rotate, calls=60, secured=True),
    "1b": Row(1, "row 1 with the real service and bundle", faults.kill_one, real_bundle=True),
    "14b": Row(14, "row 14 with the real service and bundle", faults.restart_postgres, real_bundle=True),
    "28": Row(
        28,
        "up to three faults at once, disturbed calls",
        faults.any_of(
            faults.kill_one,
            faults.kill_all,
            faults.restart_broker,
            faults.part_one_side,
            faults.part_postgres,
            faults.one_way,
            faults.resets,
            faults.restart_postgres,
            faults.lock_tables,
            faults.no_scorer,
            faults.freeze_worker,
            at_once=3,
        ),
        mixes=DISTURBED,
    ),
}
