"""What `help` says."""

_HELP = """\
stats                                      all users and all orders
get_user_stats USER                        one user's scores and rank
notifications USER                         a user's last notifications; without USER everybody's
mark_read USER                             marks them as read; with "ids", some of them
{"action":"add_notification","user_id":1,"message":"...","type":"info"}
subscribe orders,scores                    events as they happen; unsubscribe ends it
                                           with "since":N first those behind event N
                                           with "cliente", "id" or "user_id" one's own alone
                                           with "events":["order.failed"] those of these names alone
health, ping                               is everything well?
metrics                                    the same for Prometheus
quit                                       ends the connection
Each verb is an action, too: {"action":"get_user_stats","user_id":1}"""


def help_lines() -> list[str]:
    """The general help."""
    return _HELP.splitlines()
