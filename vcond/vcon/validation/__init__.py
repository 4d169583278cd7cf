"""Is this a vCon? The rules of draft-ietf-vcon-vcon-core-04 and its extensions, each finding with its place."""
