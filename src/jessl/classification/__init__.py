"""Classifiers of images on frozen features: fitted on few labels, with an accuracy that holds.

May import extraction, report, probes, embeddings, data and core; `classify` alone needs torch.
"""
