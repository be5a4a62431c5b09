"""Pages for people: what the admin panel and the OAuth consent page are made of.

A page is a Resource (api/resource.py) whose operations say `session=True`: the gate then lets in only
who is signed in, sends everyone else to `/admin/sign-in?next=...`, and refuses a POST that does not come
from a form of ours. The resource finds

* `req.context.caller`, the person as a domain Caller with role and properties as they are now,
* `req.context.session`, with the `csrf_token` that each form must carry,
* `req.context.form`, the fields of a POST, and `req.context.command()` for the command it carries out,

and answers with `pages.render(req, resp, "name.html", ...)`. Templates extend `base.html`, which has the
head, the navigation and the sign-out form, and take `csrf()` from `forms.html` into each form:

    {% extends "base.html" %}
    {% from "forms.html" import csrf %}
    {% block title %}Keys{% endblock %}
    {% block content %}
    <form method="post">{{ csrf(session) }} ... <button>Create</button></form>
    {% endblock %}

Whatever is raised (DomainError, Refused) becomes a page too. Pages have no script and no inline style; the
one style sheet is `static/site.css`.
"""
