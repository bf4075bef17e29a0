"""The verb `embed`: encoder and source to Embeddings, and the cache of embeddings.

May import training and what lies below; no pretraining.
"""
