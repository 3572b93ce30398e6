"""Web pages for people: static files that open from a disk, from a bucket and from any web server.

A page is a folder: `index.html`, and beside it files that are named by their content, so that no reader ever sees parts
of two versions. A page of its own is made of a template and its numbers:

    files = assets("style.css", "bank.js")          # name below the page's folder -> bytes
    html = render(
        "bank.html",                                # {% extends "base.html" %} {% import "charts.html" as charts %}
        assets=files,                               # base.html links them: .css in its head, .js with `defer`
        heading="monet, version 3",
        spread=histogram({"monet": scores}, title="Likeness to the style", unit="cosine"),
    )                                               # in the template: {{ charts.figure(spread) }}
    publish(store.child("report"), files.items(), html)     # index.html last; then what older versions have left goes

Templates escape whatever they are given; names out of a store go through the filter `plain` besides, which shows what
would be invisible. The policy of `base.html` allows files of the page's own origin alone: no inline script, no inline
style, nothing from elsewhere. Colours are the custom properties at the top of `style.css`, light and dark.
"""
