"""Everything of ``tupletrace demo``: an endpoint, example programs, and what runs and reports them."""
