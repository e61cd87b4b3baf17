"""A detector as an HTTP service, without torch; `python -m gradcon_ext.serving RUN` starts it.

Nothing but `gradcon_ext.serving.settings` can be imported without the extra `serve`.
"""
