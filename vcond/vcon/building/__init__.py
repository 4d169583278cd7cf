"""From the state of a call and its audio to a vCon. Pure: the same journal gives the same bytes."""
