"""What the daemon serves: ingress, health, metrics, the admin socket."""
