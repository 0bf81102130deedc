"""Which kinds of transformers' models are encoders: they read both ways, and their tokenizer frames each text."""

from __future__ import annotations

ENCODER_TYPES = {
    "bert": "BERT",
    "roberta": "RoBERTa",
    "xlm-roberta": "XLM-RoBERTa",
    "camembert": "CamemBERT",
    "distilbert": "DistilBERT",
    "electra": "ELECTRA",
    "deberta": "DeBERTa",
    "deberta-v2": "DeBERTa v2 and v3",
    "modernbert": "ModernBERT",
    "mpnet": "MPNet",
    "nomic_bert": "Nomic BERT",
    "eurobert": "EuroBERT",
}
