"""The training loop: one optimizer, a moving average of the weights, exact resume.

A step is a function of its number and of the checkpoint before it: the batch is drawn from (seed,
rank, step), dropout from (seed, step), the rates from the step.  So the number is the loader's
position and the state of every generator, and a resumed run equals an uninterrupted one bit for bit
(on a CPU).
"""

import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from sssm.config import ModelConfig
from sssm.model import KeywordModel
from sssm.weights import ModelCard, load_model, save_model
from training.corpus import Corpus, open_corpus
from training.examples import Batch, Examples
from training.labels import LabelSet, label_set
from training.objective import Losses, Objective
from training.progress import Progress
from training.recipe import Recipe
from training.run import Log, RunFolder
from training.scoring import clip_scores, labelled_clips
from training.vocabulary import Vocabulary

STATE_SPACE = ("log_decay", "frequency", "log_dt", "log_rate", "centre_logit", "width_log", "Lambda")
"""Names of the parameters that set poles: a low rate of their own, no weight decay."""


class Interrupted(Exception):
    """Ctrl-C: the run was saved after `step` steps."""

    def __init__(self, step: int):
        super().__init__(step)
        self.step = step


def run(recipe: Recipe, *, data: Path, out: Path, init: Path | None, download: bool) -> None:
    """Train to the end of the recipe, or go on from the checkpoint in `out`.

    Raises:
        ValueError: the data, the settings or the model to start from cannot be used.
        Interrupted: Ctrl-C.
    """
    folder = RunFolder(out)
    folder.start(recipe, data, init)
    fabric = Fabric()
    fabric.launch()
    corpus = open_corpus(data, own_words=recipe.labels == "folder", download=download)
    labels = label_set(recipe.labels, corpus)
    vocabulary = Vocabulary.of(corpus, recipe.vocabulary)
    examples = Examples(corpus, labels, vocabulary, recipe, fabric.global_rank)

    torch.manual_seed(recipe.seed)
    objective = Objective(
        _model(recipe, labels, init), examples.log_prior(), words=len(vocabulary.words),
        phones=vocabulary.phone_count, word_weight=recipe.word_weight,
        phone_weight=recipe.phone_weight,
    )  # fmt: skip
    trainer = Trainer(recipe, fabric, objective, folder)
    first = trainer.restore()
    loader = DataLoader(
        examples, batch_size=None, sampler=range(first, recipe.steps), num_workers=1,
        prefetch_factor=4,
    )  # fmt: skip
    trainer.fit(first, loader, lambda model: _accuracy(model, corpus, labels))
    if fabric.is_global_zero:
        _save(folder, trainer.averaged_model, recipe, corpus, labels)


class Trainer:
    """Model, optimizer and moving average of one run.

    Args:
        recipe: rates and steps.
        fabric: devices and precision.
        objective: what is minimized.
        folder: where checkpoints go.
    """

    def __init__(self, recipe: Recipe, fabric: Fabric, objective: Objective, folder: RunFolder):
        self.recipe, self.fabric, self.folder = recipe, fabric, folder
        optimizer = torch.optim.AdamW(_groups(objective, recipe), betas=(0.9, 0.98))
        self.average = AveragedModel(
            objective.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema)
        )
        self.objective, self.optimizer = fabric.setup(objective, optimizer)
        self.average.to(fabric.device)

    @property
    def averaged_model(self) -> KeywordModel:
        """The model whose weights are the moving average."""
        return self.average.module.eval()

    def restore(self) -> int:
        """Number of the next step: 0, or where the checkpoint left off."""
        if not self.folder.checkpoint.is_file():
            return 0
        saved = torch.load(self.folder.checkpoint, map_location="cpu", weights_only=True)
        self.objective.load_state_dict(saved["objective"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average.load_state_dict(saved["average"])
        return int(saved["step"])

    def fit(self, first: int, loader: DataLoader, accuracy: Any) -> None:
        """Go through the batches; validate, log and save on the way."""
        log = Log(self.folder, first) if self.fabric.is_global_zero else None
        stop = _StopFlag()
        with stop, Progress(first, self.recipe.steps) as progress:
            for step, batch in enumerate(loader, start=first):
                losses = self.step(step, batch)
                done = step + 1
                if done % self.recipe.log_every == 0 and log:
                    values = {n: v.item() for n, v in losses._asdict().items()}
                    log.write(done, values)
                    progress.show(done, values)
                if done % self.recipe.save_every == 0 or done == self.recipe.steps or stop.asked:
                    self.save(done)
                if stop.asked:
                    raise Interrupted(done)
                if done % self.recipe.validate_every == 0 and log:
                    value = accuracy(self.averaged_model)
                    log.write(done, {"validation": value})
                    progress.say(f"step {done}: validation {value:.2%}")
        if log:
            log.close()

    def step(self, step: int, batch: Batch) -> Losses:
        """One batch, one update."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * rate(step, self.recipe)
        self.objective.train()
        batch = Batch(*self.fabric.to_device(list(batch)))
        losses = self.objective(batch)
        self.fabric.backward(losses.total)
        self.fabric.clip_gradients(
            self.objective, self.optimizer, max_norm=self.recipe.clip_norm
        )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update_parameters(self.objective.model)
        return Losses(*(value.detach() for value in losses))

    def save(self, step: int) -> None:
        """Checkpoint after `step` steps."""
        if self.fabric.is_global_zero:
            self.folder.save(
                {
                    "step": step,
                    "objective": self.objective.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "average": self.average.state_dict(),
                }
            )


def rate(step: int, recipe: Recipe) -> float:
    """Share of the highest learning rate: a linear rise, then half a cosine down to 1%."""
    rise = min(1.0, (step + 1) / max(1, recipe.warmup))
    return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / recipe.steps)))


def _groups(objective: Objective, recipe: Recipe) -> list[dict[str, Any]]:
    poles, matrices, vectors = [], [], []
    for name, parameter in objective.named_parameters():
        if name.rsplit(".", 1)[-1] in STATE_SPACE:
            poles.append(parameter)
        else:
            (matrices if parameter.dim() == 2 else vectors).append(parameter)
    return [
        {"params": poles, "highest": recipe.ssm_lr, "lr": 0.0, "weight_decay": 0.0},
        {"params": vectors, "highest": recipe.lr, "lr": 0.0, "weight_decay": 0.0},
        {"params": matrices, "highest": recipe.lr, "lr": 0.0, "weight_decay": recipe.weight_decay},
    ]


def _model(recipe: Recipe, labels: LabelSet, init: Path | None) -> KeywordModel:
    model = KeywordModel(
        ModelConfig(
            labels=labels.labels, front=recipe.front, layer=recipe.layer, bands=recipe.bands,
            channels=recipe.channels, state_size=recipe.state_size, depth=recipe.depth,
            dropout=recipe.dropout,
        )
    )  # fmt: skip
    if init is not None:
        trained, _ = load_model(init)
        weights = {
            name: value
            for name, value in trained.state_dict().items()
            if not name.startswith(("head.", "clip."))
        }
        own = model.state_dict()
        other = [n for n, v in weights.items() if n not in own or own[n].shape != v.shape]
        if other:
            raise ValueError(f"{init} is of another shape than the preset, e.g. {other[0]}")
        model.load_state_dict(weights, strict=False)
    return model


def _accuracy(model: KeywordModel, corpus: Corpus, labels: LabelSet) -> float:
    clips = labelled_clips(corpus, labels, "validation", silence_is_zeros=False)
    if not clips:
        return math.nan
    scores = clip_scores(model, [clip.samples for clip in clips])
    truth = np.array([labels.labels.index(clip.label) for clip in clips])
    return float((scores.argmax(axis=1) == truth).mean())


def _save(
    folder: RunFolder, model: KeywordModel, recipe: Recipe, corpus: Corpus, labels: LabelSet
) -> None:
    sources = sorted({e.source for e in corpus.entries if e.split == "training"})
    card = ModelCard(
        training_data=f"{recipe.labels}: {', '.join(sources)}",
        licence="",
        accuracy={"validation": _accuracy(model, corpus, labels)},
    )
    save_model(folder.model, model, card)


class _StopFlag:
    """Ctrl-C asks; the loop stops after the step, when everything agrees.  Twice kills."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "_StopFlag":
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self._before)
