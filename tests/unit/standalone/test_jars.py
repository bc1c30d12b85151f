import hashlib
import re
from pathlib import Path

import pytest

from services.standalone import jars
from services.standalone.jars import Jar
from services.standalone.places import cache_folder


def test_every_jar_is_locked_by_coordinates_and_checksum() -> None:
    locked = jars.locked_jars()
    assert [jar for jar in locked if not re.fullmatch(r"[0-9a-f]{64}", jar.sha256)] == []
    assert {(jar.artifact, jar.version) for jar in locked} >= {
        ("kafka_2.13", jars.KAFKA),
        ("kafka-clients", jars.KAFKA),
    }
    assert len({jar.path(Path()) for jar in locked}) == len(locked)


def test_the_cache_is_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERTONE_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    assert jars.missing_jars() == jars.locked_jars()


def test_a_jar_is_sound_only_with_the_bytes_that_were_locked(tmp_path: Path) -> None:
    jar = Jar("org.example.deep", "thing", "1.0", hashlib.sha256(b"jar").hexdigest())
    assert not jar.sound(tmp_path)
    path = jar.path(tmp_path)
    assert path == tmp_path / "org" / "example" / "deep" / "thing" / "1.0" / "thing-1.0.jar"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"jar")
    assert jar.sound(tmp_path)
    path.write_bytes(b"jam")
    assert not jar.sound(tmp_path)


def test_mavens_project_asks_for_the_jars_and_for_nothing_that_they_depend_on() -> None:
    project = jars._pom([Jar("a.b", "c", "1", ""), Jar("d", "e", "2", "")])
    named = r"<groupId>([a-z.]+)</groupId><artifactId>([a-z]+)</artifactId><version>(\d)</version><exclusions>"
    assert re.findall(named, project) == [("a.b", "c", "1"), ("d", "e", "2")]
    assert project.count("<exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>") == 2
