"""Boxes and arrows: what goes where. No numbers are computed here."""

from __future__ import annotations

from collections.abc import Sequence

from drawing import Drawing


def flow() -> Drawing:
    d = Drawing("From pilots to a training: what etastar does", 364)
    d.box(20, 20, 400, 62, "pilots", "a few short runs of your training, and their logs",
          fill="plain", stroke="grey")  # fmt: skip
    d.arrow((220, 82), (220, 118), words="etastar plan")
    d.box(
        20, 118, 400, 62, "loss law", "a formula, fitted to the logs: the loss under any schedule"
    )
    d.arrow((220, 180), (220, 216), words="lowest predicted loss")
    d.box(20, 216, 400, 62, "plan", "a schedule, the loss to expect, and what is doubtful")
    d.arrow((220, 278), (220, 314), words="schedule.json")
    d.box(20, 314, 400, 40, "your long training", fill="plain", stroke="grey")
    return d


def install() -> Drawing:
    d = Drawing("Which machine needs what", 250)
    d.text(110, 26, "where you plan", anchor="middle", bold=True)
    d.box(20, 40, 180, 120, "pip install .", "reads logs, fits, plans,", "runs pilots;",
          "needs no GPU and", "no framework")  # fmt: skip
    d.text(330, 26, "where you train", anchor="middle", bold=True)
    d.box(240, 40, 180, 120, "pip install '.[torch]'", "follows the schedule;",
          "or [optax], [keras],", "[lightning],", "[transformers]", fill="plain",
          stroke="grey")  # fmt: skip
    d.arrow((110, 160), (110, 190), (330, 190), (330, 164))
    d.text(220, 212, "schedule.json", anchor="middle", size=13)
    d.text(220, 232, "one machine can be both", anchor="middle", size=13, color="soft")
    return d


def alternatives() -> Drawing:
    d = Drawing("Which way to choose a learning rate", 470)
    asked = (
        ("Is a full run cheap, and made only once?", "grid search or Optuna", "at full length"),
        (
            "Is its length open, or can you not tune at all?",
            "schedule-free, Prodigy",
            "no schedule",
        ),
        ("Do you know the best LR of a smaller model?", "muP", "then plan the length and shape"),
        ("Can you pay for 4 to 10 short runs?", "etastar", "plan from pilots"),
    )
    y = 16.0
    for number, (question, answer, says) in enumerate(asked):
        last = number == len(asked) - 1
        d.rect(20, y, 400, 36, fill="plain", stroke="grey", round=18)
        d.text(220, y + 23, question, anchor="middle")
        d.arrow((300, y + 36), (300, y + 62), words="yes")
        d.box(190, y + 62, 230, 46, answer, says)
        if not last:
            d.arrow((80, y + 36), (80, y + 114), words="no")
        else:
            d.arrow((80, y + 36), (80, y + 62), words="no")
            d.box(20, y + 62, 150, 46, "LR finder,", "then a fixed shape", fill="plain",
                  stroke="grey")  # fmt: skip
        y += 114
    return d


def planning() -> Drawing:
    d = Drawing("What a plan does with the logs", 372)
    d.box(20, 20, 190, 62, "logs of pilots", "steps, losses, rates", fill="plain", stroke="grey")
    d.box(230, 20, 190, 62, "horizon", "length of the long run", fill="plain", stroke="grey")
    d.arrow((115, 82), (115, 118), words="fit")
    d.box(20, 118, 190, 62, "33 fits of the law", "all that agree with the logs")
    d.arrow((210, 149), (230, 149))
    d.arrow((325, 82), (325, 118))
    d.box(230, 118, 190, 62, "best schedule", "on average over the fits")
    d.arrow((325, 180), (325, 216))
    d.arrow((115, 180), (115, 216))
    d.box(20, 216, 190, 62, "interval", "90% of what the fits allow")
    d.box(230, 216, 190, 62, "comparison", "with standard schedules")
    d.arrow((115, 278), (115, 310))
    d.arrow((325, 278), (325, 310))
    d.box(20, 310, 400, 46, "the plan", "and its caveats: what is doubtful, and what would help",
          fill="plain", stroke="grey")  # fmt: skip
    return d


def pilots() -> Drawing:
    d = Drawing("The loop of etastar pilot", 328)
    d.box(20, 20, 400, 48, "design", "which run tells most for its cost?")
    d.arrow((330, 68), (330, 104), words="schedule")
    d.box(240, 104, 180, 62, "your training", "python train.py ...", fill="plain", stroke="grey")
    d.arrow((330, 166), (330, 202), words="log")
    d.box(240, 202, 180, 48, "folder pilots", "logs and runs.csv")
    d.arrow((240, 226), (110, 226), (110, 68), words="")
    d.text(30, 128, "asked again", size=12.5, color="soft")
    d.text(30, 145, "after each run", size=12.5, color="soft")
    d.arrow((330, 250), (330, 282), words="etastar plan")
    d.text(330, 302, "the plan", anchor="middle", bold=True)
    d.lines(20, 284, ("stops when the budget is spent,", "or when no run is worth its steps"),
            size=12.5, color="soft")  # fmt: skip
    return d


def logs() -> Drawing:
    d = Drawing("A folder of logs becomes runs", 330)
    d.rect(20, 20, 220, 196, fill="plain", stroke="grey")
    d.text(34, 42, "pilots/", bold=True)
    d.text(48, 66, "runs.csv", bold=True, color="accent")
    d.lines(62, 86, ("run, schedule, batch_size:", "one line a run"), size=12.5, color="soft")
    d.text(48, 130, "low.csv", bold=True)
    d.text(48, 152, "high.csv", bold=True)
    d.lines(62, 172, ("step, loss, lr:", "one line a measurement"), size=12.5, color="soft")
    d.arrow((240, 118), (290, 118), words="read")
    for number in range(2):
        y = 46 + 88 * number
        d.box(290, y, 130, 66, "Run", "steps, losses,", "schedule")
    d.text(20, 246, "No runs.csv? The schedule is then found from", size=13, color="soft")
    d.text(20, 264, "the column lr, or given with --runs-schedule.", size=13, color="soft")
    d.text(
        20, 290, "No column lr either? Then one of the two must be there:", size=13, color="soft"
    )
    d.text(20, 308, "a loss without its learning rates says nothing.", size=13, color="soft")
    return d


def trackers() -> Drawing:
    d = Drawing("Where logs may come from", 300)
    sources = (
        ("wandb, *.wandb", "Weights & Biases"), ("mlflow:URI", "MLflow"),
        ("trackio:NAME", "Trackio"),
        ("events.out.tfevents*", "TensorBoard"), ("trainer_state.json", "Transformers, TRL"),
        ("metrics.csv", "Lightning"), ("train.log", "what was printed"),
    )  # fmt: skip
    for number, (name, says) in enumerate(sources):
        y = 18 + 38 * number
        d.rect(20, y, 214, 32, fill="plain", stroke="grey")
        d.text(30, y + 14, name, size=12.5, bold=True)
        d.text(30, y + 27, says, size=11.5, color="soft")
        d.path([(234, y + 16), (276, 148)], color="grey", width=1.3)
    d.box(276, 112, 144, 72, "etastar plan", "the same command", "for all of them")
    d.arrow((348, 184), (348, 224))
    d.text(348, 244, "a plan", anchor="middle", bold=True)
    return d


def troubleshooting() -> Drawing:
    d = Drawing("Where it stops, and which section helps", 302)
    stages = (
        ("etastar pilot stops", "a line names the pilot and a file", "Pilots"),
        ("logs are not read", "a line names file, line and column", "Logs"),
        ("the plan has caveats", "it is made, but something is doubtful", "The plan"),
        ("the training differs", "another loss than forecast", "The training"),
    )
    for number, (name, says, section) in enumerate(stages):
        y = 16 + 72 * number
        d.box(20, y, 270, 54, name, says, fill="plain", stroke="grey")
        d.arrow((290, y + 27), (314, y + 27))
        d.rect(314, y + 10, 108, 34, fill="panel", stroke="accent", round=17)
        d.text(368, y + 32, section, anchor="middle", size=13, bold=True)
    return d


def cluster() -> Drawing:
    d = Drawing("Driver, jobs and the shared folder", 316)
    d.box(20, 24, 170, 78, "driver", "etastar pilot,", "on a login node")
    d.box(250, 24, 170, 78, "Slurm or Ray", "the queue of the cluster", fill="plain", stroke="grey")
    d.arrow((190, 52), (250, 52), words="starts")
    d.arrow((250, 82), (190, 82))
    d.text(220, 100, "states", size=12.5, color="soft", anchor="middle")
    for number in range(3):
        x = 226 + 66 * number
        d.box(x, 148, 60, 46, f"job {number + 1}", "a pilot", fill="plain", stroke="grey")
        d.path([(335, 102), (x + 30, 148)], color="soft", width=1.6, arrow=True)
        d.path(
            [(x + 30, 194), (x + 30 - 18 * (number - 1), 240)], color="soft", width=1.6, arrow=True
        )
    d.box(20, 240, 400, 54, "folder pilots", "on a file system that all of them see")
    d.arrow((105, 102), (105, 240), words="reads the logs")
    return d


def path_of(
    title: str, follows: Sequence[str], writes: Sequence[str], loop: Sequence[str]
) -> Drawing:
    """One framework: the schedule goes in on the left, the log comes out on the right."""
    height = 236
    d = Drawing(title, height)
    d.box(20, 20, 122, 54, "schedule.json", "the plan", fill="plain", stroke="grey")
    d.arrow((142, 47), (172, 47))
    d.box(172, 20, 248, 54, follows[0], *follows[1:])
    d.arrow((296, 74), (296, 100))
    d.rect(20, 100, 400, 40, fill="plain", stroke="grey")
    d.text(220, 125, "  →  ".join(loop), anchor="middle", size=13.5)
    d.arrow((296, 140), (296, 166))
    d.box(172, 166, 248, 54, writes[0], *writes[1:])
    d.arrow((172, 193), (142, 193))
    d.box(20, 166, 122, 54, "run.jsonl", "plan or watch", fill="plain", stroke="grey")
    return d


def pytorch() -> Drawing:
    return path_of(
        "PyTorch: where the schedule goes in and where the log comes out",
        ("ScheduledLR(optimizer, ...)", "in place of your scheduler"),
        ("RunLog.add(step, loss)", "every so many updates"),
        ("backward", "optimizer.step", "scheduler.step"),
    )


def optax() -> Drawing:
    return path_of(
        "Optax: where the schedule goes in and where the log comes out",
        ("optax.adamw(schedule(...))", "a function of the count"),
        ("RunLog.add(step, loss)", "every so many updates"),
        ("grads", "optimizer.update", "apply_updates"),
    )


def transformers() -> Drawing:
    return path_of(
        "Transformers: where the schedule goes in and where the log comes out",
        ("ScheduledLR(optimizer, ...)", "given as optimizers=(...)"),
        ("RunLogCallback", "given as callbacks=[...]"),
        ("Trainer(...)", "trainer.train()"),
    )


def lightning() -> Drawing:
    return path_of(
        "Lightning: where the schedule goes in and where the log comes out",
        ("optimizer_config(...)", "in configure_optimizers"),
        ("RunLogCallback", "given as callbacks=[...]"),
        ("Trainer(...)", "trainer.fit(module)"),
    )


def keras() -> Drawing:
    return path_of(
        "Keras: where the schedule goes in and where the log comes out",
        ("ScheduledRate(...)", "as the learning rate of the optimiser"),
        ("RunLogCallback", "given as callbacks=[...]"),
        ("model.compile(...)", "model.fit(...)"),
    )
