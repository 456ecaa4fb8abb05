"""The shelf of routes: one file a resource, with `routes = [Route(…), …]`, found by listing."""
