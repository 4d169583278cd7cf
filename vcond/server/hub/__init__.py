"""The hub: takes the vCons of other machines by the conserver's API, and keeps them. Decision 0053."""
