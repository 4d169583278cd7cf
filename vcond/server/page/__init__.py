"""The page: files of the package, and logging in. Everything that it shows it asks the API for."""
