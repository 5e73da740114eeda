"""Templates that would take a second or 100 MB: attacks on every operator, filter, method and statement."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

BODY = {
    "s": "a" * 100_000,
    "tabs": "\t" * 100_000,
    "marks": "<" * 200_000,
    "comments": "<!--" * 50_000,
    "tags": "<a>" * 60_000,
    "mails": "a@b.c " * 20_000,
    "wide": "é😀" * 50_000,
    "list": list(range(20_000)),
    "rows": [{"name": f"n{number % 7}", "items": list(range(20))} for number in range(5_000)],
    "deep": {"a": {"b": {"c": {}}}},
    "n": 10**300,
    "xs": ["x" * 1000] * 1000,
}

BOMBS = {
    "power": "<< 2**(2**30) >>",
    "power in a loop": "<% set ns = namespace(n=3) %><% for i in range(100) %><% set ns.n = ns.n**3 %><% endfor %><< ns.n >>",
    "multiplied number": "<% set ns = namespace(n=3) %><% for i in range(99999) %><% set ns.n = ns.n*ns.n %><% endfor %>",
    "repeated text": "<< 'a'*10**9 >>",
    "repeated text, turned round": "<< 10**9*'a' >>",
    "repeated list": "<< [0]*10**9 >>",
    "repeated tuple": "<< ((1,2)*10**8)|length >>",
    "repeated bytes": "<< ('a'.encode()*10**9)|length >>",
    "doubled text": "<% set ns = namespace(s='aaaaaaaa') %><% for i in range(60) %><% set ns.s = ns.s ~ ns.s %><% endfor %><< ns.s >>",
    "doubled text by plus": "<% set ns = namespace(s='aaaaaaaa') %><% for i in range(60) %><% set ns.s = ns.s + ns.s %><% endfor %>",
    "doubled text by set block": "<% set ns = namespace(s='aaaaaaaa') %><% for i in range(60) %><% set t %><<ns.s>><<ns.s>><% endset %><% set ns.s = t %><% endfor %>",
    "doubled list": "<% set ns = namespace(s=[1]) %><% for i in range(60) %><% set ns.s = ns.s + ns.s %><% endfor %>",
    "doubled nested list printed": "<% set ns = namespace(s=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% endfor %>x<< ns.s >>",
    "doubled nested list as json": "<% set ns = namespace(s=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% endfor %>x<< ns.s|tojson >>",
    "doubled nested lists compared": "<% set ns = namespace(s=[1],t=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% set ns.t = [ns.t, ns.t] %><% endfor %><< ns.s == ns.t >>",
    "doubled nested lists in": "<% set ns = namespace(s=[1],t=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% set ns.t = [ns.t, ns.t] %><% endfor %><< ns.s in [ns.t] >>",
    "doubled nested lists counted": "<% set ns = namespace(s=[1],t=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% set ns.t = [ns.t, ns.t] %><% endfor %><< [ns.t].count(ns.s) >>",
    "doubled nested lists sorted": "<% set ns = namespace(s=[1],t=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% set ns.t = [ns.t, ns.t] %><% endfor %><< [ns.s, ns.t]|sort|length >>",
    "doubled nested lists max": "<% set ns = namespace(s=[1],t=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% set ns.t = [ns.t, ns.t] %><% endfor %><< [ns.s, ns.t]|max >>",
    "doubled nested lists changed": "<% set ns = namespace(s=[1],t=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% set ns.t = [ns.t, ns.t] %><% endfor %><% for x in [ns.s, ns.t] %><< loop.changed(x) >><% endfor %>",
    "doubled nested tuple as key": "<% set ns = namespace(s=(1,)) %><% for i in range(60) %><% set ns.s = (ns.s, ns.s) %><% endfor %><< {ns.s: 1}|length >>",
    "doubled nested tuple got": "<% set ns = namespace(s=(1,)) %><% for i in range(60) %><% set ns.s = (ns.s, ns.s) %><% endfor %><< {1: 1}.get(ns.s) >>",
    "doubled nested tuple indexed": "<% set ns = namespace(s=(1,)) %><% for i in range(60) %><% set ns.s = (ns.s, ns.s) %><% endfor %><< trigger.body[ns.s] >>",
    "doubled nested tuple in mapping": "<% set ns = namespace(s=(1,)) %><% for i in range(60) %><% set ns.s = (ns.s, ns.s) %><% endfor %><< ns.s in trigger.body >>",
    "doubled nested tuple unique": "<% set ns = namespace(s=(1,)) %><% for i in range(60) %><% set ns.s = (ns.s, ns.s) %><% endfor %><< [ns.s]|unique >>",
    "doubled nested list formatted": "<% set ns = namespace(s=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% endfor %><< '%s' % (ns.s,) >>",
    "doubled nested list formatted by braces": "<% set ns = namespace(s=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% endfor %><< '{}'.format(ns.s) >>",
    "doubled nested list joined": "<% set ns = namespace(s=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% endfor %><< [ns.s]|join >>",
    "doubled nested list in a filter": "<% set ns = namespace(s=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% endfor %><< ns.s|upper >>",
    "doubled nested list in urlencode": "<% set ns = namespace(s=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% endfor %><< {'a': ns.s}|urlencode >>",
    "doubled nested list in xmlattr": "<% set ns = namespace(s=[1]) %><% for i in range(60) %><% set ns.s = [ns.s, ns.s] %><% endfor %><< {'a': ns.s}|xmlattr >>",
    "doubled nested mapping": "<% set ns = namespace(s={}) %><% for i in range(60) %><% set ns.s = {'a': ns.s, 'b': ns.s} %><% endfor %><< ns.s >>",
    "doubled nested mappings compared": "<% set ns = namespace(s={},t={}) %><% for i in range(60) %><% set ns.s = {'a': ns.s, 'b': ns.s} %><% set ns.t = {'a': ns.t, 'b': ns.t} %><% endfor %><< ns.s == ns.t >>",
    "long loop": "<% for i in range(999999999) %>x<% endfor %>",
    "endless range": "<% for i in range(10**30) %>x<% endfor %>",
    "nested loops": "<% for a in range(999) %><% for b in range(999) %><% for c in range(999) %>x<% endfor %><% endfor %><% endfor %>",
    "nested loops without output": "<% for a in range(9999) %><% for b in range(9999) %><% set x = a*b %><% endfor %><% endfor %>",
    "nested loops over a text": "<% for a in trigger.body.s %><% for b in trigger.body.s %><% endfor %><% endfor %>",
    "loop with a filter that keeps none": "<% for a in range(10**8) if a < 0 %>x<% endfor %>",
    "long loop with a length": "<% for a in range(10**8) %><< loop.length >><% endfor %>",
    "text of a loop": "<% for a in range(10**6) %><< trigger.body.s >><% endfor %>",
    "text of a loop in a block": "<% set t %><% for a in range(10**6) %><< trigger.body.s >><% endfor %><% endset %><< t|length >>",
    "escaped text of a loop": "<% set t %><% for a in range(10**4) %><< trigger.body.marks|e >><% endfor %><% endset %>",
    "fixed text of a loop": "<% for a in range(10**6) %>" + "x" * 1000 + "<% endfor %>",
    "fixed text of a loop in a block": "<% set t %><% for a in range(10**5) %>" + "x" * 1000 + "<% endfor %><% endset %><< t >>",
    "many small numbers in a block": "<% set t %><% for a in range(10**6) %><< a*1.37 >><% endfor %><% endset %>",
    "macro calls itself": "<% macro m(n) %><< m(n+1) >><% endmacro %><< m(1) >>",
    "macro calls itself twice": "<% macro m(n) %><< m(n+1) if n < 50 >><< m(n+1) if n < 50 >><% endmacro %><< m(1) >>",
    "macro doubles": "<% macro m(s) %><< s >><< s >><% endmacro %><% set ns = namespace(s='aaaaaaaa') %><% for i in range(60) %><% set ns.s = m(ns.s) %><% endfor %>",
    "macros tenfold": "".join(
        f"<% macro m{n}() %>" + f"<< m{n + 1}() >>" * 10 + "<% endmacro %>" for n in range(12)
    ) + "<% macro m12() %>x<% endmacro %><< m0() >>",
    "caller calls": "<% macro m(n) %><< caller() >><< caller() >><% endmacro %>" + "<% call m(1) %>" * 40 + "x" + "<% endcall %>" * 40,
    "recursive loop": "<% for a in [1] recursive %><< loop([1]) >><% endfor %>",
    "recursive loop twice": "<% for a in [1,2] recursive %><< loop([1,2]) if loop.depth < 40 >><% endfor %>",
    "range as a list": "<< range(10**9)|list >>",
    "range joined": "<< range(99999)|join('a'*99999) >>",
    "range summed": "<< range(10**9)|sum >>",
    "range mapped": "<< range(10**5)|map('string')|map('center',10**5)|join >>",
    "range batched": "<< range(10**7)|batch(1)|list|length >>",
    "range sorted": "<< range(10**8)|sort|first >>",
    "range searched": "<< ('a' in range(10**12)) ~ 1.5 in range(10**12) ~ 'x'*10**9 >>",
    "range native": "<< range(10**9) >>",
    "range of ranges": "<< range(10**6)|map('batch', 1)|list >>",
    "batch filled": "<< [1]|batch(10**9, 'x')|list >>",
    "slice filled": "<< [1]|slice(10**9, 'x')|list >>",
    "text as a list": "<< (trigger.body.s*100)|list|length >>",
    "text multiplied in a list": "<< ''.join(['a'*10**6]*10**6) >>",
    "join of many": "<< (trigger.body.xs*100)|join >>",
    "join between characters": "<< trigger.body.s.join(trigger.body.s) >>",
    "sum of lists": "<< ([[1]*1000]*100000)|sum(start=[]) >>",
    "sum of texts": "<< (trigger.body.xs*100)|sum(start='') >>",
    "centre": "<< 'a'.center(10**10) >>",
    "centre filter": "<< 'a'|center(10**10) >>",
    "ljust": "<< 'a'.ljust(10**10) >>",
    "rjust": "<< 'a'.rjust(10**10) >>",
    "zfill": "<< 'a'.zfill(10**10) >>",
    "expandtabs": "<< '\\t'.expandtabs(10**10) >>",
    "expandtabs of many": "<< (trigger.body.tabs*10).expandtabs(100) >>",
    "indent": "<< 'a'|indent(10**9) >>",
    "indent of first": "<< 'a'|indent(10**9, true) >>",
    "indent of many lines": "<< ('a\\n'*10**6)|indent(1000) >>",
    "replace nothing by much": "<< trigger.body.s|replace('', trigger.body.s) >>",
    "replace method": "<< trigger.body.s.replace('a', trigger.body.s) >>",
    "replace in markup": "<< trigger.body.s|safe|replace('a', trigger.body.marks) >>",
    "wordwrap to one": "<< (trigger.body.s*30)|wordwrap(1) >>",
    "wordwrap with a long break": "<< trigger.body.s|wordwrap(1, true, trigger.body.s) >>",
    "truncate with a long end": "<< (trigger.body.s*2)|truncate(10**9, true, trigger.body.s, 0)|length * 10**9 * 'a' >>",
    "printf width": "<< '%10000000000d'|format(1) >>",
    "printf star": "<< '%*d' % (10**9, 1) >>",
    "printf precision": "<< '%.1000000000f' % 1.5 >>",
    "printf many": "<< ('%1000d'*100000) % (range(100000)|list) >>",
    "printf same value": "<< ('%(s)s'*10000) % trigger.body >>",
    "format width": "<< '{:>10000000000}'.format(1) >>",
    "format precision": "<< '{:.1000000000f}'.format(1.5) >>",
    "format nested width": "<< '{:{w}}'.format(1, w=10**9) >>",
    "format same value": "<< ('{0}'*10000).format(trigger.body.s) >>",
    "format key in map": "<< [10**9]|map('format')|list|length*10**9*'a' >>",
    "json indent": "<< {'a':1}|tojson(indent=10**9) >>",
    "json indent of what is deep": "<% set ns = namespace(k=range(99999)|list) %><% for i in range(95) %><% set ns.k = [ns.k] %><% endfor %><< ns.k|tojson(16)|length >>",
    "json of control characters": "<< ('\\x00'*1000*1000*1000)|tojson >>",
    "repeated in repeats": "<< 'a'*1000*1000*1000 >>",
    "list repeated in repeats": "<< [1]*1000*1000*1000 >>",
    "time multiplied": "<< (trigger.body.n - trigger.body.n) ** -1 >>",
    "float power": "<< 10.0 ** 1000 >>",
    "complex": "x<< (-8) ** 0.5 >>",
    "escape of escapes": "<% set ns = namespace(s='&&&&&&&&') %><% for i in range(99) %><% set ns.s = ns.s|e|string|replace('a', '&') ~ '' %><% set t = ns.s|forceescape|forceescape %><% endfor %><< ns.s * 999 * 999 * 999 >>",
    "xmlattr of many": "<< dict(trigger.body, **{'z': 'x'*1000*1000*40})|xmlattr >>",
    "groups of groups": "<% set ns = namespace(g=trigger.body.rows) %><% for i in range(99) %><% set ns.g = ns.g|groupby('name')|map('last')|map('list')|sum(start=[]) + ns.g %><% endfor %>",
    "macro defaults": "<% macro m(a, b='x'*1000*1000*1000) %><< b >><% endmacro %><< m(1) >>",
    "call in a default": "<% macro m(n=m2()) %><% endmacro %><% macro m2() %><< m() >><% endmacro %><< m() >>",
    "condition does the work": "<< 'x' if (range(10**9)|sum) else 'y' >>",
    "test does the work": "<< range(10**9)|select('in', range(10**9)|list)|first >>",
    "loop filter does the work": "<% for i in range(5000) if (trigger.body.rows|map(attribute='name')|join) == i %><% endfor %>",
    "loop in a loop filter": "<% for i in range(9999) if i in (trigger.body.list|reverse) %><% endfor %>x<< 1/0 >>",
    "lookup of a long name": "<< trigger.body['x'*1000*1000*30 ~ 'y'*1000*1000*30] >>",
    "format of a long name": "<< ('{' ~ 'a'*1000*1000 ~ '}').format(1) >>",
    "format of many fields": "<< ('{0}'*1000*1000).format('x') >>",
    "printf of many fields": "<< ('%s'*1000*1000) % ([1]*1000*1000)|list >>",
    "printf of many names": "<< ('%(n)s'*1000*1000) % {'n': 1} >>",
    "join of small numbers over and over": "<% for i in range(100) %><< range(99999)|join|length >><% endfor %>",
    "title of many words": "<% for i in range(100) %><< ('a '*1000*500)|title|length >><% endfor %>",
    "date of a long text": "<< ('2'*1000*1000)|date >>",
    "json of much": "<< (trigger.body.rows*1000)|tojson >>",
    "number written out": "<< (10**(10**6))|string|length >>",
    "number from hexadecimal": "<< ('f'*10**6)|int(base=16) >>",
    "long number literal": "<< " + "9" * 5000 + " >>",
    "round to many digits": "<< 5|round(-10**9) >>",
    "round up to many digits": "<< 5.5|round(10**9, 'ceil') >>",
    "factorial": "<% set ns = namespace(n=1) %><% for i in range(1, 99999) %><% set ns.n = ns.n * i %><% endfor %><< ns.n >>",
    "urlize": "<< ('a@b.c '*10**5)|urlize >>",
    "urlize links": "<< ('http://a.b '*10**6)|urlize >>",
    "striptags of comments": "<< (trigger.body.comments*20)|striptags|length*10**9*'a' >>",
    "striptags of tags": "<< (trigger.body.tags*30)|striptags|length*'a'*10**9 ~ (trigger.body.tags*30)|striptags >>",
    "urlencode": "<< (trigger.body.wide*50)|urlencode >>",
    "upper of wide text": "<< (trigger.body.wide*50)|upper >>",
    "title of much": "<< (trigger.body.s*300)|title >>",
    "split into characters": "<< ('a,'*5000000).split(',')|length >>",
    "split at space": "<< ('a '*5000000).split()|length >>",
    "splitlines": "<< ('\\n'*20000000).splitlines()|length >>",
    "search backwards": "<< ('a'*2000000).rfind('b' ~ 'a'*1000000) >>",
    "split backwards": "<< ('a'*2000000).rsplit('b' ~ 'a'*1000000) >>",
    "partition backwards": "<< ('a'*2000000).rpartition('b' ~ 'a'*1000000) >>",
    "search forwards": "<% for i in range(100000) %><< (trigger.body.s).find('b' ~ trigger.body.s) >><% endfor %>",
    "count in a loop": "<% for i in range(100000) %><< (trigger.body.s).count('aa') >><% endfor %>",
    "contained in a loop": "<% for i in range(100000) %><< 'b' in trigger.body.s >><% endfor %>",
    "compared in a loop": "<% for i in range(100000) %><% if trigger.body.s ~ '' == trigger.body.s ~ 'x' %>y<% endif %><% endfor %>",
    "strip of many": "<< ('a'*2000000).strip('b'*1000000 ~ 'a') >>",
    "trim of many": "<< ('a'*2000000)|trim('b'*1000000 ~ 'a') >>",
    "list searched in a loop": "<% for i in range(100000) %><< -1 in trigger.body.list >><% endfor %>",
    "list counted in a loop": "<% for i in range(100000) %><< trigger.body.list.count(-1) >><% endfor %>",
    "sort in a loop": "<% for i in range(100000) %><< trigger.body.list|sort|first >><% endfor %>",
    "groupby in a loop": "<% for i in range(100000) %><< trigger.body.rows|groupby('name')|length >><% endfor %>",
    "selectattr in a loop": "<% for i in range(100000) %><< trigger.body.rows|selectattr('name','eq','n1')|length >><% endfor %>",
    "unique in a loop": "<% for i in range(100000) %><< trigger.body.list|unique|length >><% endfor %>",
    "map in a map": "<< range(5000)|map('batch', 1)|map('list')|map('join')|map('int')|map('string')|list|length*'a'*10**9 >>",
    "slices in a loop": "<% for i in range(100000) %><< trigger.body.list[1:]|length >><% endfor %>",
    "reverse in a loop": "<% for i in range(100000) %><< trigger.body.list|reverse|length >><% endfor %>",
    "kept lists": "<% set ns = namespace(k=[]) %><% for i in range(10000) %><% set ns.k = ns.k + [trigger.body.list[1:]] %><% endfor %>",
    "kept texts": "<% set ns = namespace(k=[]) %><% for i in range(10000) %><% set ns.k = ns.k + [trigger.body.s ~ i] %><% endfor %>",
    "kept mappings": "<% set ns = namespace(k={}) %><% for i in range(10**6) %><% set ns.k = dict(ns.k, **{'k' ~ i: i}) %><% endfor %>",
    "deep mapping": "<% set ns = namespace(k={}) %><% for i in range(10**5) %><% set ns.k = {'a': ns.k} %><% endfor %><< ns.k >>",
    "deep list compared": "<% set ns = namespace(k=[], j=[]) %><% for i in range(10**5) %><% set ns.k = [ns.k] %><% set ns.j = [ns.j] %><% endfor %><< ns.k == ns.j >>",
    "deep list dropped": "<% set ns = namespace(k=[]) %><% for i in range(10**5) %><% set ns.k = [ns.k] %><% endfor %><< ns.k|length * 10**9 * 'a' >>",
    "encode": "<< ('a'*10**9).encode() >>",
    "encode idna": "<< ('a'*10**6).encode('punycode') >>",
    "date format": "<< 0|date('%1000000000Y') >>",
    "date format repeated": "<< 0|date('%c'*1000000) >>",
    "wordcount": "<% for i in range(100000) %><< trigger.body.mails|wordcount >><% endfor %>",
    "escape": "<% for i in range(100000) %><% set x = trigger.body.marks|e %><% endfor %>",
    "attribute path": "<% set p = 'a.'*10**6 ~ 'a' %><< [trigger.body]|map(attribute=p)|list >>",
    "sort by many": "<< trigger.body.rows|sort(attribute='name,'*100000) >>",
    "cycle": "<% for i in range(10**6) %><< loop.cycle(*range(1000)) >><% endfor %>",
    "star arguments": "<% macro m() %><< varargs|length >><% endmacro %><< m(*range(10**9)) >>",
    "star arguments in a loop": "<% macro m() %><< varargs|length >><% endmacro %><% for i in range(10**5) %><< m(*trigger.body.list) >><% endfor %>",
    "many brackets": "<< " + "(" * 5000 + "1" + ")" * 5000 + " >>",
    "many lists": "<< " + "[" * 90 + "1" + "]" * 90 + " >>",
    "many statements": "<% if 1 %>" * 3000 + "<% endif %>" * 3000,
    "many loops": "<% for a in range(99) %>" * 15 + "x" + "<% endfor %>" * 15,
    "many additions": "<< " + "1+" * 9000 + "1 >>",
    "many nots": "<< " + "not " * 9000 + "1 >>",
    "many minus": "<< " + "- " * 9000 + "1 >>",
    "many filters": "<< 1" + "|string" * 9000 + " >>",
    "many dots": "<< a" + ".a" * 9000 + " >>",
    "many expressions": "<< trigger.body.n >>" * 200_000,
    "many conditions": "<< 1" + " if 1 else 1" * 9000 + " >>",
    "many arguments": "<< dict(" + ", ".join(f"a{n}=1" for n in range(30_000)) + ") >>",
    "one megabyte of text": "<< 1 >>" + "x" * 2_000_000,
    "unclosed many times": "<< " * 300_000,
    "raw many times": "<% raw %>" * 100_000,
    "comments many times": "<# " * 300_000,
}  # fmt: skip
"""Each must end in an error within a second and 100 MB."""


def main() -> None:
    """Read ``{name: [kind, template]}``; write ``[name, kind, error or null, message, seconds]`` a line each.

    100 MB more than the process has before the first one is all the memory that there is.
    """
    from runner.diagnostic import Invalid, Position
    from runner.errors import TemplateError
    from runner.template import Kind, Templates, Where

    where = Where("flows/bomb.yaml", "smtp.body", Position)
    scope = {"trigger": {"body": BODY}, "vars": {}, "nodes": {}}
    for kind in Kind:
        if kind is not Kind.EXPRESSION:
            Templates(None).compile(
                "https://x/<< 1 >><% for a in [1] %><<a>><% endfor %>", kind, where
            ).render(scope)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 100_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for name, (kind, text) in json.load(sys.stdin).items():
        started = time.process_time()
        error = None
        try:
            result = Templates(None).compile(text, Kind(kind), where).render(scope)
            message = f"{type(result).__name__} {str(result)[:60]}"
        except (TemplateError, Invalid) as caught:
            error, message = type(caught).__name__, caught.message[:200]
        print(json.dumps([name, kind, error, message, time.process_time() - started]), flush=True)


if __name__ == "__main__":
    main()
