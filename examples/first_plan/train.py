"""A small training for a first plan: a linear model learns 256 weights by SGD.

    python train.py --schedule cosine:peak=0.01,horizon=2000,warmup=50 --log run.csv

The page docs/first_plan.md goes through it. A run takes seconds on one core. The data are drawn
while it trains, so there is nothing to download.
"""

import argparse
import csv

import torch

from etastar.integrations.torch import ScheduledLR

parser = argparse.ArgumentParser()
parser.add_argument("--schedule", required=True)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--log", required=True)
asked = parser.parse_args()

# The task: 256 inputs of very different sizes, and what is to be predicted from them, with noise.
torch.set_num_threads(1)
torch.manual_seed(1234)
sizes = torch.arange(1.0, 257.0) ** -1.0
weights = torch.randn(256, 1).sign() * torch.arange(1.0, 257.0)[:, None] ** 0.25
weights /= (sizes[:, None] * weights).norm()


def draw(count):
    x = sizes * torch.randn(count, 256)
    return x, x @ weights + 0.3 * torch.randn(count, 1)


held_out = draw(4096)

# The training.
torch.manual_seed(asked.seed)
model = torch.nn.Linear(256, 1)
loss_of = torch.nn.functional.mse_loss
optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
scheduler = ScheduledLR(optimizer, asked.schedule)
horizon = scheduler.schedule.horizon

with open(asked.log, "w", buffering=1) as file:
    log = csv.writer(file)
    log.writerow(["step", "val_loss", "lr"])
    for step in range(1, horizon + 1):
        x, y = draw(32)
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        lr = scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()
        if step % max(horizon // 100, 1) == 0 or step == horizon:
            with torch.no_grad():
                val_loss = loss_of(model(held_out[0]), held_out[1]).item()
            log.writerow([step, round(val_loss, 6), lr])

print(f"after {step} updates: val_loss {val_loss:.4f}")
