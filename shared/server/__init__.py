"""The request kernel of the TCP servers: actions, the parser of requests, and the dispatcher that answers them."""
