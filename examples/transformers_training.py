"""Train a tiny GPT-2 from scratch with Hugging Face's Trainer under a planned schedule.

    python examples/transformers_training.py --schedule wsd:peak=5e-3,horizon=400,cooldown=0.2

Ends within a minute on two cores and downloads nothing: the text is a drawn one, whose next letter
depends on the two before. After a kill the same command goes on from the last checkpoint.
`--schedule` takes a spec, a `schedule.json` or the folder of a plan; the log in the folder `--out`
is what `etastar plan` reads.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from etastar.integrations.transformers import RunLogCallback, ScheduledLR
from etastar.runs import read_runs

LETTERS, CONTEXT, BATCH, ACCUMULATED, EVERY = 16, 32, 16, 2, 40


class Text(torch.utils.data.Dataset):
    """Sequences of a Markov chain of order two; sample i is the same whenever it is drawn."""

    def __init__(self, count: int, first: int = 0) -> None:
        weights = np.random.default_rng(0).gumbel(size=(LETTERS, LETTERS, LETTERS)) * 2
        self.odds = np.exp(weights - np.logaddexp.reduce(weights, axis=2, keepdims=True))
        self.count, self.first = count, first

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        random = np.random.default_rng((1, self.first + index))
        letters = list(random.integers(0, LETTERS, 2))
        draws = random.random(CONTEXT - 2)
        for draw in draws:
            cumulated = np.cumsum(self.odds[letters[-2], letters[-1]])
            letters.append(int(min(np.searchsorted(cumulated, draw), LETTERS - 1)))
        tokens = torch.tensor(letters)
        return {"input_ids": tokens, "labels": tokens}


def main(source: str, out: Path) -> None:
    torch.set_num_threads(1)
    set_seed(0)
    size = {"n_positions": CONTEXT, "n_embd": 64, "n_layer": 2, "n_head": 4}
    config = GPT2Config(vocab_size=LETTERS, bos_token_id=0, eos_token_id=0, **size)
    model = GPT2LMHeadModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
    scheduler = ScheduledLR(optimizer, source)
    horizon = scheduler.schedule.horizon

    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=horizon,
        per_device_train_batch_size=BATCH,
        gradient_accumulation_steps=ACCUMULATED,
        eval_strategy="steps",
        eval_steps=EVERY,
        logging_steps=EVERY,
        save_steps=EVERY,
        save_total_limit=1,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=Text(horizon * BATCH * ACCUMULATED),
        eval_dataset=Text(128, first=10**9),
        optimizers=(optimizer, scheduler),
        callbacks=[RunLogCallback(out / "run.jsonl", loss="eval_loss")],
    )
    last = get_last_checkpoint(str(out)) if out.is_dir() else None
    trainer.train(resume_from_checkpoint=last)

    (run,) = read_runs(out / "run.jsonl")
    print(f"{run.name}: {run.schedule.spec}, final loss {run.final_loss:.4f} nats a letter")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A small training under a planned schedule.")
    parser.add_argument("--schedule", default="wsd:peak=5e-3,horizon=400,warmup=20,cooldown=0.2")
    parser.add_argument("--out", type=Path, default=Path("out/transformers"))
    asked = parser.parse_args()
    main(asked.schedule, asked.out)
