"""Classifiers of images on frozen features, with an accuracy that holds, and fine-tuning.

May import pretraining, extraction, report, probes, embeddings, data and core; `classify` and
`finetune` alone need torch.
"""
