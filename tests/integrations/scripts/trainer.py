"""Hugging Face's Trainer."""

import tempfile

import torch
import transformers as hf

hf.logging.set_verbosity_error()
hf.logging.disable_progress_bar()
torch.manual_seed(0)
config = hf.GPT2Config(vocab_size=50, n_positions=12, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
data = [{"input_ids": row, "labels": row} for row in torch.randint(1, 50, (96, 12))]
with tempfile.TemporaryDirectory() as folder:
    arguments = hf.TrainingArguments(
        output_dir=folder, max_steps=6, per_device_train_batch_size=16, report_to=[], logging_strategy="no",
        save_strategy="no", use_cpu=True, disable_tqdm=True, learning_rate=1e-3,
    )  # fmt: skip
    hf.Trainer(model=hf.GPT2LMHeadModel(config), args=arguments, train_dataset=data).train()
