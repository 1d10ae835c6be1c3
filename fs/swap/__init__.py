"""Linux swap: its header is kept, its content is left out, unless a suspended session sleeps in it."""
