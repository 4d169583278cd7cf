"""The processes that hold the engines: how they are made, warmed, spoken to and replaced."""
