"""The paper's claims and ablations on a small dataset: cases, runs, claims and report."""
