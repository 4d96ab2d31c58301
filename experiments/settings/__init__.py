"""What flags build: a library, a model, a policy, a judge, prices."""
