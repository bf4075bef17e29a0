"""What to label first, near-duplicates, outliers, suspected label errors and faulty images.

May import report, probes, embeddings, data and core. Nothing here needs torch.
"""
