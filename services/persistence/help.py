"""What `help` says."""

_HELP = """\
{"action":"set","id":"X","data":{...}}     stores a record; with "version", only over that version
get ID, delete ID                          one record
list [PREFIX]                              records by their ids, a page at a time
history ID                                 what was done to a record, newest first
logs                                       the audit log, newest first
verify_log                                 proves that the log is whole
watch [ID]                                 every change at once; unwatch ends it
{"action":"save_score","user_id":1,"puntaje":100}
health, ping                               is everything well?
metrics                                    the same for Prometheus
quit                                       ends the connection
get_item, get_items, put_item, update_item, delete_item, transact, batch, query and changes are for services.
Each verb is an action, too: {"action":"get","id":"X"}"""


def help_lines() -> list[str]:
    """The general help."""
    return _HELP.splitlines()
