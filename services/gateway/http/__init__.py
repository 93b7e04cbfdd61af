"""HTTP for the routes: server, router, request bodies, responses, problem documents and the API description."""
