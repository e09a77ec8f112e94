"""Parts of `demo`: its workload and the clean-up at its end."""
