"""How much speech a machine can do: admission of calls, metrics, and the bench that measures it."""
