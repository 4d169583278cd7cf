"""``ops/``: alert rules for Prometheus, judged by promtool on series of a healthy edge and of sick ones, and a dashboard for Grafana."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client import generate_latest

from vcond.base import metrics as vcond_metrics
from vcond.testing.needs import needs

TOP = Path(__file__).resolve().parents[3]
RULES = TOP / "ops/vcond.rules.yml"
ALERTS = re.findall(r"^      - alert: (\w+)$", RULES.read_text(), re.MULTILINE)
DASHBOARD = json.loads((TOP / "ops/vcond.dashboard.json").read_text())
EDGE = 'instance="edge:8471", job="vcond"'
DAYS = 86400
HOURS = 2

HEALTHY = {  # in promtool's notation, a value a minute; of a day with calls, small hiccups and a restart
    "up": "1x120",
    "vcond_build_info{version='0.1.0'}": "1x120",
    "process_start_time_seconds": "0x40 2400x80",
    "vcond_adapter_connected{adapter='asterisk'}": "1x40 0x1 1x79",
    "vcond_calls_active{adapter='asterisk'}": "20x120",
    "vcond_calls_missing_audio{adapter='asterisk'}": "1x120",
    "vcond_calls_total{adapter='asterisk',outcome='answered'}": "100+1x120",
    "vcond_call_findings_total{adapter='asterisk',code='one-way-audio'}": "0+0.02x120",
    "vcond_pressure{resource='disk'}": "0x120",
    "vcond_pressure{resource='memory'}": "0x40 1x5 0x75",
    "vcond_dropped_total{what='frame',reason='after-close'}": "0+1x120",
    "vcond_dropped_total{what='live-line',reason='slow-watcher'}": "0+1x120",
    "vcond_journal_fsync_seconds_bucket{le='0.1'}": "0+100x120",
    "vcond_journal_fsync_seconds_bucket{le='2.0'}": "0+100x120",
    "vcond_journal_fsync_seconds_bucket{le='10.0'}": "0+100x120",
    "vcond_journal_fsync_seconds_bucket{le='+Inf'}": "0+100x120",
    "vcond_journal_pending_bytes": "200000x120",
    "vcond_outbox_oldest_seconds{sink='conserver'}": "5x120",
    "vcond_outbox_vcons{sink='conserver',state='dead'}": "0x120",
    "vcond_outbox_vcons{sink='conserver',state='pending'}": "3x120",
    "vcond_sink_held{sink='conserver'}": "0x120",
    "vcond_outbox_unmatched": "0x40 1x4 0x76",
    "vcond_quarantined_total": "0x120",
    "vcond_stt_deferred_seconds": "0x20 0+100x20 2000-100x19 0x59",
    "vcond_stt_worker_restarts_total{reason='warm'}": "0+1x120",
    "vcond_certificate_expiry_timestamp_seconds{section='web'}": f"{90 * DAYS}x120",
    "vcond_ingress_refused_total": "0+0.1x120",
}
SICK: dict[str, list[tuple[Mapping[str, str], str, str]]] = {
    # alert: series in place of the healthy ones or beside them, then the labels that it has, and what it says
    "VcondDown": [({"up": "1x100 0x20"}, "", "vcond at edge:8471 does not answer: calls are not recorded")],
    "VcondRestarts": [
        (
            {"process_start_time_seconds": "0x100 6000x5 6300x5 6600x10"}, "",
            "vcond at edge:8471 was started 3 times in half an hour",
        )
    ],
    "VcondAdapterDown": [
        (
            {"vcond_adapter_connected{adapter='asterisk'}": "1x110 0x10"}, 'adapter="asterisk"',
            "asterisk is not attached to vcond at edge:8471: its calls are not recorded",
        )
    ],
    "VcondCallsNotRecorded": [
        (
            {"vcond_pressure{resource='disk'}": "0x118 3x2"}, 'resource="disk"',
            "vcond at edge:8471 does not record new calls: disk is short",
        ),
        (
            {"vcond_dropped_total{what='call',reason='files'}": "_x114 1x6"}, 'what="call", reason="files"',
            "vcond at edge:8471 does not record new calls: files is short",
        ),
        (
            {"vcond_dropped_total{what='call',reason='files'}": "7x114 8x6"}, 'what="call", reason="files"',
            "vcond at edge:8471 does not record new calls: files is short",
        ),
    ],
    "VcondPressure": [
        (
            {"vcond_pressure{resource='memory'}": "0x100 2x20"}, 'resource="memory"',
            "vcond at edge:8471 gives up texts because memory is short",
        )
    ],
    "VcondAudioLost": [
        (
            {"vcond_dropped_total{what='audio',reason='backlog'}": "_x114 1x6"}, 'what="audio", reason="backlog"',
            "vcond at edge:8471 lost audio of calls: audio, backlog",
        ),
        (
            {"vcond_dropped_total{what='audio',reason='backlog'}": "4x114 5x6"}, 'what="audio", reason="backlog"',
            "vcond at edge:8471 lost audio of calls: audio, backlog",
        ),
    ],
    "VcondAudioOneWay": [
        (
            {"vcond_call_findings_total{adapter='asterisk',code='one-way-audio'}": "0+0.25x120"}, 'adapter="asterisk"',
            "in 25% of the calls of asterisk a party cannot be heard",
        )
    ],
    "VcondDiskSlow": [
        ({f"vcond_journal_fsync_seconds_bucket{{le='{le}'}}": "0x120" for le in ("0.1", "2.0")}, "",
         "the disk of vcond at edge:8471 does not keep up: audio waits in memory and will be lost"),
        ({"vcond_journal_pending_bytes": "0x100 4e+07x20"}, "",
         "the disk of vcond at edge:8471 does not keep up: audio waits in memory and will be lost"),
    ],
    "VcondSinkHeld": [
        (
            {"vcond_sink_held{sink='conserver'}": "0x60 1x60",
             "vcond_outbox_oldest_seconds{sink='conserver'}": "5x60 5+60x60"}, 'sink="conserver"',
            "sink conserver of vcond at edge:8471 takes no vCons until somebody corrects something: key, URL, certificate, rights",
        )
    ],
    "VcondOutboxGrows": [
        (
            {"vcond_outbox_oldest_seconds{sink='conserver'}": "5x60 0+60x60"}, 'sink="conserver"',
            "a vCon has waited 59m 0s for sink conserver of vcond at edge:8471",
        )
    ],
    "VcondDeadLetters": [
        (
            {"vcond_outbox_vcons{sink='conserver',state='dead'}": "0x114 2x6"}, 'sink="conserver", state="dead"',
            "sink conserver of vcond at edge:8471 refused 2 vCons for good",
        )
    ],
    "VcondNobodysVcons": [
        ({"vcond_outbox_unmatched": "0x100 3x20"}, "",
         "3 vCons of vcond at edge:8471 are for no sink: nobody gets them")
    ],
    "VcondVconSetAside": [
        ({"vcond_quarantined_total": "0x100 1x20"}, "",
         "a vCon of vcond at edge:8471 is damaged, missing or without its recording"),
        ({"vcond_dropped_total{what='recording',reason='too-large'}": "_x100 1x20"},
         'what="recording", reason="too-large"',
         "a vCon of vcond at edge:8471 is damaged, missing or without its recording"),
    ],
    "VcondSpeechBehind": [
        (
            {"vcond_stt_deferred_seconds": "0x30 60+60x90"}, "",
            "vcond at edge:8471 has 1h 30m 0s of speech to transcribe, and it becomes more",
        )
    ],
    "VcondSpeechFails": [
        ({"vcond_stt_worker_restarts_total{reason='crash'}": "0x104 0+1x15"}, "",
         "workers of speech of vcond at edge:8471 were started 15 times in 15 minutes")
    ],
    "VcondCertificateEnds": [
        (
            {"vcond_certificate_expiry_timestamp_seconds{section='web'}": f"{10 * DAYS + HOURS * 3600}x120"},
            'section="web"', "the certificate of [web] of vcond at edge:8471 ends in 10d 0h 0m 0s",
        )
    ],
    "VcondWrongKey": [
        ({"vcond_ingress_refused_total": "0+10x120"}, "",
         "100 requests in ten minutes reached vcond at edge:8471 with a wrong key, or none")
    ],
}  # fmt: skip


def series(over: Mapping[str, str]) -> list[dict[str, str]]:
    """As promtool wants them."""
    made = []
    for name, values in {**HEALTHY, **over}.items():
        metric, _, labels = name.partition("{")
        told = labels.removesuffix("}").replace("'", '"')
        made.append({"series": f"{metric}{{{EDGE}{', ' * bool(told)}{told}}}", "values": values})
    return made


def annotations(alert: str) -> dict[str, str]:
    text = re.search(rf"- alert: {alert}\n((?:        .*\n)+)", RULES.read_text())[1]
    return dict(re.findall(r'^          (\w+): "(.*)"$', text, re.MULTILINE))


def severity(alert: str) -> str:
    return re.search(rf"- alert: {alert}\n(?:        .*\n)+?        labels: {{severity: (\w+)}}", RULES.read_text())[1]


def case(name: str, over: Mapping[str, str], alert: str = "", labels: str = "", summary: str = "") -> dict:
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if alert else []
    told = dict(re.findall(r'(\w+)="([^"]*)"', f"{EDGE}, {labels}"))
    return {
        "name": name,
        "interval": "1m",
        "input_series": series(over),
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{HOURS}h",
                "exp_samples": expected,
            }
        ],
        "alert_rule_test": [
            {
                "eval_time": f"{HOURS}h",
                "alertname": alert,
                "exp_alerts": [
                    {
                        "exp_labels": told | {"severity": severity(alert)},
                        "exp_annotations": annotations(alert) | {"summary": summary},
                    }
                ],
            }
        ]
        if alert
        else [],
    }


def promtool(*arguments: str | Path) -> str:
    needs(shutil.which("promtool"), "promtool is missing: apt-get install prometheus")
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_healthy_edge_alarms_nobody_and_each_sickness_raises_its_alert_and_no_other(tmp_path: Path):
    assert [*SICK] == ALERTS
    # at many moments of the healthy day, since what is short must not alarm either
    healthy = case("healthy", {})
    (check,) = healthy["promql_expr_test"]
    healthy["promql_expr_test"] = [check | {"eval_time": f"{minute}m"} for minute in range(0, HOURS * 60, 6)]
    cases = [healthy, *(case(alert, over, alert, *told) for alert, rows in SICK.items() for over, *told in rows)]
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "2m", "tests": cases}))
    promtool("test", "rules", file)


def test_every_alert_says_what_to_do_with_a_link_that_leads_somewhere():
    page = (TOP / "docs/troubleshooting.md").read_text()
    headings = {heading.lower() for heading in re.findall(r"^### (\w+)$", page, re.MULTILINE)}
    for alert in ALERTS:
        told = annotations(alert)
        assert told.keys() == {"summary", "action", "docs"}
        assert told["docs"] == f"docs/troubleshooting.md#{alert.lower()}"
        assert alert.lower() in headings
        assert re.match(r"vcond |systemctl |journalctl |renew", told["action"])
    assert {heading for heading in headings if heading.startswith("vcond")} == {alert.lower() for alert in ALERTS}


def exported() -> dict[str, set[str]]:
    """Every name that ``/metrics`` can have, with its labels; processes' own too."""
    found: dict[str, set[str]] = {"up": set()}
    for line in generate_latest().decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            names = [f"{name}_{part}" for part in ("bucket", "sum", "count")] if kind == "histogram" else [name]
            found |= {one: set() for one in names}
    for attribute in vars(vcond_metrics).values():
        name, labels = getattr(attribute, "_name", None), getattr(attribute, "_labelnames", ())
        for one in found:
            if name and re.fullmatch(rf"{name}(_total|_bucket|_sum|_count)?", one):
                found[one] = {*labels}
    return found


def expressions() -> Iterator[str]:
    yield from re.findall(r"^        expr: (?!>-)(.+)$", RULES.read_text(), re.MULTILINE)
    yield from re.findall(r"^        expr: >-\n((?:          .*\n)+)", RULES.read_text(), re.MULTILINE)
    yield from (target["expr"] for panel in panels() for target in panel.get("targets", ()))


def panels() -> list[dict]:
    return DASHBOARD["panels"]


def test_rules_and_dashboard_ask_only_for_metrics_and_labels_that_vcond_exports():
    there = exported()
    asked = set()
    for expression in expressions():
        for name, labels in re.findall(r"\b((?:vcond|process|python)_\w+|up)\b(?:\{([^}]*)\})?", expression):
            asked.add(name)
            assert name in there, f"{name} in {expression}"
            used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))
            assert used <= there[name] | {"instance", "job"}, f"{name}: {used} in {expression}"
    assert len(asked) > 25


def test_the_dashboard_is_one_that_grafana_imports(tmp_path: Path):
    assert (DASHBOARD["uid"], DASHBOARD["title"], DASHBOARD["id"]) == ("vcond", "vcond", None)
    assert DASHBOARD["schemaVersion"] >= 36
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert variables["instance"]["datasource"] == source
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    places = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places
        assert max(x for x, _ in cells) < 24
        places |= cells
        assert panel["title"]
        if panel["type"] == "row":
            continue
        assert panel["type"] in {"stat", "timeseries"}
        assert panel["description"]
        assert panel["datasource"] == source
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs)) > 0
        assert all(target["datasource"] == source for target in panel["targets"])
    variable = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
    used = {one or other for one, other in variable.findall(json.dumps(DASHBOARD))}
    assert used <= variables.keys() | {"__all", "__rate_interval"}
    records = [
        {"record": "x", "expr": target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for panel in panels()
        for target in panel.get("targets", ())
    ]
    for number, one in enumerate(records):
        one["labels"] = {"number": str(number)}
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": records}]}))
    promtool("check", "rules", file)
