"""What deployments decide without touching anything: pure rules over values."""
