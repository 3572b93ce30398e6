"""Web pages for people: static files that open from a disk, from a bucket and from any web server.

A page is a folder: `index.html` and files named by their content, so a reader never sees a mix of two
versions. A template and its data make a page:

    files = assets("style.css", "bank.js")          # name below the page's folder -> bytes
    html = render(
        "bank.html",                                # {% extends "base.html" %} {% import "charts.html" as charts %}
        assets=files,                               # base.html links them: .css in its head, .js with `defer`
        heading="monet, version 3",
        spread=histogram({"monet": scores}, title="Likeness to the style", unit="cosine"),
    )                                               # in the template: {{ charts.figure(spread) }}
    publish(store.child("report"), files.items(), html)     # index.html last; then stale files are deleted

Templates escape all values; the filter `plain` also makes invisible characters in names visible. The
content security policy of `base.html` allows only files of the page's own origin: no inline script, no
inline style. Colours are custom properties at the top of `style.css`, for light and dark.
"""
