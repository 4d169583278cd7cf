"""The API for programs and the page: tokens with roles, calls, records, deliveries. Decision 0036."""
