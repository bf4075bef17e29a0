"""Classifiers of images on frozen features: fitted on few labels, with an accuracy that holds.

`finetune` trains the encoder on. May import pretraining, extraction, report, probes, embeddings, data and core; `classify` alone needs torch.
"""
