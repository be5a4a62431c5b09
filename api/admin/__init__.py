"""The admin panel: one module a page, rendered on the server (see api/web).

Each page reads through `projections` and changes through `commands`, as the API does, so that a change
made here lands in the same log under the same rules, with `auth` "session" in its actor. The pages know
no rule; `role` of an Operation only says who finds anything of use there.
"""
