"""Hugging Face's Trainer: a callback watches the training and goes on from the Trainer's own checkpoints."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from gainstage.integrations.transformers import WatchCallback

torch.manual_seed(0)
tokens = torch.arange(48).repeat(100)[: 100 * 16 * 3].reshape(-1, 16) % 50  # counting, which is soon learned
data = [{"input_ids": row, "labels": row} for row in tokens]
config = GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
arguments = TrainingArguments(
    output_dir="trained", max_steps=30, per_device_train_batch_size=16, learning_rate=1e-3, use_cpu=True,
    report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no",
)  # fmt: skip
watching = WatchCallback(every=10)
Trainer(model=GPT2LMHeadModel(config), args=arguments, train_dataset=data, callbacks=[watching]).train()
print(watching.watch)
