from ops.bench.rows import GPU, ROWS, untaken


def test_rows_that_were_never_taken_are_listed_with_the_command_that_takes_them() -> None:
    taken = {name for names in ROWS.values() for name in names} - {GPU[0]}
    assert untaken(taken) == f"\n## Not measured yet\n\n* {GPU[0]} (`make bench-gpu`)\n"


def test_nothing_is_listed_where_every_row_was_taken() -> None:
    assert not untaken({name for names in ROWS.values() for name in names})


def test_no_row_goes_by_the_name_of_another() -> None:
    every = [name for names in ROWS.values() for name in names]
    assert len(set(every)) == len(every)
