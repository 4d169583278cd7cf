"""Ten thousand texts that would be markup, on every view of the page: they are shown, and are only ever text."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from page_kit import fresh, go, opened

from vcond.call import events as ev
from vcond.capture.live_feed import CaptionEvent

FORMS = (
    "<x-h{0}>bold</x-h{0}>",
    '<img src="page/none-{0}" onerror="window.bad={0}"><x-h{0}>',
    "<script>window.bad={0}</script><x-h{0}>",
    '<svg onload="window.bad={0}"><x-h{0}></svg>',
    "</p></li></main><iframe srcdoc='<x-h{0}>'></iframe><x-h{0}>",
    '"><a href="javascript:window.bad={0}">x</a><x-h{0}>',
    "&lt;x-h{0}&gt; &#60;x&#62; <x-h{0}>",
    "'-window.bad={0}-' ${{window.bad={0}}} {{{{constructor}}}} <x-h{0}>",
    "\u202e\u2066 txet <x-h{0}> \u2069\u202c\u200f\u061c",
    "\x00\x01\x07\x1b[31m\x7f\x85\u2028\u2029\r\n\t<x-h{0}>",
    "<x-h{0}> e" + "\u0301" * 80 + "\u200b\ufeff\ufffe",
    "<x-h{0}>" + "w" * 3000,
    "<style>*{{display:none}}</style><base href='//x.example/'><x-h{0}>",
    "<template><x-h{0}></template><!-- --><![CDATA[ ]]><x-h{0}>",
    "1e999999 -0 NaN __proto__ constructor <x-h{0}>",
)
MADE = """
const known = new Set(['a', 'audio', 'b', 'bdi', 'button', 'caption', 'code', 'dd', 'details', 'div', 'dl', 'dt', 'form', 'h1', 'h2', 'i', 'input', 'label', 'li', 'ol',
  'output', 'p', 'path', 'rect', 'section', 'small', 'span', 'summary', 'svg', 'table', 'tbody', 'td', 'th', 'thead', 'time', 'title', 'tr', 'ul']);
const all = [...document.querySelectorAll('main *, #told *')];
return [all.length > 10, all.filter((one) => !known.has(one.localName) || [...one.attributes].some((own) => own.name.startsWith('on'))
    || (one.localName === 'a' && one.protocol !== location.protocol)).map((one) => one.outerHTML.slice(0, 200)),
  document.querySelectorAll('script').length, document.querySelectorAll('body > *').length, document.baseURI === location.href];
"""
"""Whether there is something; what is no element of the page's own; scripts, what the body holds, and whether its base is its own."""
AT_ONCE = 500
"""Texts that are looked for by one command."""
LACKS = """
const shown = document.getElementById('main').textContent;
let at = 0;
return arguments[0].filter((text) => {
  const found = shown.indexOf(text, at);
  at = Math.max(at, found);
  return found < 0 && !shown.includes(text);
}).slice(0, 5);
"""
"""Those that are not there. Each is looked for after the one before first: to begin anew for each of thousands takes minutes."""


def texts() -> Iterator[str]:
    """No two alike; each has an element of its own, ``x-h`` and its number, were it markup."""
    rng = random.Random(18)
    number = 0
    while True:
        yield rng.choice(FORMS).format(number)
        number += 1


def take(source: Iterator[str], count: int) -> list[str]:
    return list(islice(source, count))


async def only_text(page, *shown: str) -> None:
    """Of all that is on the page now nothing was made of a text; those that must be there are."""
    assert await page.run(MADE) == [True, [], 1, 4, True]
    for at in range(0, len(shown), AT_ONCE):
        assert await page.run(LACKS, shown[at : at + AT_ONCE]) == []


async def test_10000_texts_that_would_be_markup_are_shown_as_text_in_every_view(tmp_path: Path):
    source, put = texts(), 0
    async with opened(tmp_path) as (one, page):
        # Names of who talks, and what is said by all of them.
        await page.until("document.querySelector('#dot.on')")
        calls = []
        for number in range(100):
            call = one.parts.registry.call("bench", str(number), one.at(0), "unknown")
            for key, name in zip("ab", take(source, 2), strict=True):
                call.party(key, at=one.at(0), who=ev.PartyInfo(name=name, tel=f"+1212555{number:04}"))
            calls.append(call)
        put += 200
        await page.until("document.querySelectorAll('.card button').length === 100")
        last: list[str] = []
        for _ in range(20):
            last = take(source, 200)
            for place, text in enumerate(last):
                call, party = calls[place // 2], place % 2
                kind = "partial" if party else "final"
                one.parts.bus.publish(CaptionEvent(call.uuid, kind, text, party, text[:200], 1.0, 2.0))
            put += 200
            await page.until(f"document.getElementById('main').textContent.includes('<x-h{put - 1}>')")
        await page.until("[...document.querySelectorAll('.said')].every((one) => one.childElementCount === 2)")
        await only_text(page, *last)
        assert await page.run("return document.querySelectorAll('.card .name').length") == 200

        # One call: a line for each text.
        await go(page, f"calls/{calls[0].uuid}", ".log")
        for at in range(4):
            last = take(source, 100)
            for place, text in enumerate(last):
                one.parts.bus.publish(
                    CaptionEvent(calls[0].uuid, "final", text, 0, text[:100], 100.0 * at + place, 1.0)
                )
            put += 100
            await page.until(f"document.querySelectorAll('.log p').length === {100 * (at + 1)}")
            await only_text(page, *last)

        # A record: words, names, moments, what is wrong with it, what it says of its capture.
        lines, names, moments, notes = take(source, 5000), take(source, 2), take(source, 200), take(source, 200)
        put += 5402

        def change(document) -> None:
            fresh(1)(document)
            for party, name in zip(document["parties"], names, strict=False):
                party["name"] = name
            dialog = document["dialog"][0]
            dialog["party_history"] = [{"party": 0, "time": dialog["start"], "event": text} for text in moments]
            words = [{"id": at, "text": text, "start": at * 0.0001, "end": at * 0.0001, "confidence": 0.4} for at, text in enumerate(lines)]  # fmt: skip
            document["analysis"][0]["body"]["words"] = words
            document["analysis"][0]["body"]["segments"] = [
                {"id": at, "start": at * 0.0001, "end": at * 0.0001, "text": text, "speaker": at % 2, "words": [at]}
                for at, text in enumerate(lines)
            ]
            for attached in document["attachments"]:
                if attached["purpose"] == "vcond-capture-report":
                    attached["body"]["notes"] = notes
            document[notes[0]] = document["subject"] = notes[1]

        uuid = await one.vcon("hold", change)
        await go(page, f"records/{uuid}", ".wave")
        await page.until(
            "document.querySelectorAll('.transcript p').length === 5000 && document.querySelector('.word')"
        )
        await page.until("document.querySelector('details.wrong li')")
        await only_text(page, *lines, *names, *moments, *notes)

        # The list of what is found, and what receivers answered.
        hits = take(source, 60)
        put += 60
        for number, name in enumerate(hits):

            def called(document, number=number, name=name) -> None:
                fresh(number + 10)(document)
                document["parties"][0]["name"] = name

            await one.vcon("plain", called)
        await go(page, "records", "tbody a")
        await page.run(
            "document.getElementById('text').value = '<x-h'; document.getElementById('parts').checked = true;"
            "document.querySelector('.find button').click()"
        )
        while await page.run("return document.querySelectorAll('.hits li').length") < 61:
            await page.until("!document.querySelector('.hits ~ button').disabled")
            await page.run("document.querySelector('.hits ~ button').click()")
        await only_text(page, *hits)
        answer = "".join(take(source, 20))
        put += 20
        await one.dead(uuid, answer)
        await go(page, "deliveries", ".acts button")
        await only_text(page, answer)
    assert put >= 10_000
