from vcond.cli.output import show


def test_a_name_from_outside_steers_no_terminal(capsys):
    show({}, as_json=False, lines=["Rita \x1b]0;owned\x07\x9b2J\u202e", "a\tb"])
    assert capsys.readouterr().out == "Rita  ]0;owned  2J \na\tb\n"
