"""The training loop: optimizers, a moving average of the weights, exact resume.

A step is a function of its number and of the checkpoint before it: clips and streams are drawn from
(seed, rank, step), dropout from (seed, rank, step), the rates from the step.  So the number is the
loader's position and the state of every generator; what else a checkpoint holds are weights, the
optimizers' moments, the average, and the state that the streams have reached.  A resumed run equals
an uninterrupted one bit for bit (on a CPU).
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sssm.layers.contract import leaves
from sssm.model import KeywordModel
from sssm.weights import ModelCard, fingerprint, save_model
from training.amid_talk import CAUTION
from training.carried import detach, from_leaves
from training.console import tell
from training.corpus import Corpus, open_corpus
from training.devices import fabric_of
from training.examples import Examples
from training.initial import initial_model
from training.inventory import inventory
from training.labels import label_set, labels_of
from training.objective import Losses, Objective, StreamState
from training.optimizer import optimizers_of, set_rates
from training.own_words import CLIPS_ALONE, NO_TALK, THRESHOLD, as_bytes
from training.progress import Progress
from training.recipe import Recipe
from training.run import Log, RunFolder
from training.scoring import LabelledClip, clip_scores, held_out_of_each, labelled_clips
from training.steps import Step, Steps, begun
from training.stop_flag import StopFlag
from training.streams import Streams
from training.vocabulary import Vocabulary


class Interrupted(Exception):  # noqa: N818 - not an error
    """Ctrl-C, and what was saved."""


class DivergedError(Exception):
    """The norm of a gradient is not finite; the checkpoint before it is kept."""


def run(recipe: Recipe, *, data: Path, out: Path, init: Path | None, download: bool) -> None:
    """Train to the end of the recipe, or go on from the checkpoint in `out`.

    Raises:
        ValueError: the data, the settings or the model to start from cannot be used.
        DivergedError: the norm of a gradient is not finite.
        Interrupted: Ctrl-C.
    """
    fabric = fabric_of(recipe.precision)
    with fabric.rank_zero_first(local=True):
        corpus = open_corpus(data, own_words=recipe.labels == "folder", download=download)
    labels = label_set(recipe.labels, corpus)
    if len(labels.labels) == 1:
        raise ValueError(
            f"{data}: {labels.labels[0]} is all there is, so there is nothing to tell it from: "
            "record _unknown_ or _background_noise_ too"
        )
    clips_alone = recipe.labels == "folder" and not (labels.unknown or labels.silence)
    if clips_alone:
        recipe = replace(recipe, stream_rows=0)  # no class would say that nothing is heard
    vocabulary = Vocabulary.of(corpus, recipe.vocabulary)
    examples = Examples(corpus, labels, vocabulary, recipe, fabric.global_rank)
    streams = Streams(corpus, labels, recipe, fabric.global_rank) if recipe.stream_rows else None
    torch.manual_seed(recipe.seed)
    model = initial_model(recipe, labels, init)
    objective = Objective(model, recipe, examples.log_prior(), vocabulary)

    folder = RunFolder(out)
    if fabric.is_global_zero:
        start = fingerprint(init) if init else None
        facts = {"init": start, "devices": fabric.world_size, "recordings": _digest(corpus)}
        folder.start(recipe, facts)
    fabric.barrier()
    trainer = Trainer(recipe, fabric, objective, folder)
    first = trainer.restore()
    loader = Steps(examples, streams).loader(first)
    held_out = labelled_clips(corpus, labels, "validation", silence_is_zeros=False)
    if fabric.is_global_zero:
        for line in inventory(corpus, data) if recipe.labels == "folder" else ():
            tell(line)
        tell(held_out_of_each(held_out))
        if recipe.labels == "folder" and not examples.talk.exists:
            tell(CLIPS_ALONE if clips_alone else NO_TALK)
    trainer.fit(first, loader, lambda model: _accuracy(model, held_out))
    if fabric.is_global_zero:
        accuracy = _accuracy(trainer.averaged_model, held_out)
        _save(folder, trainer.averaged_model, recipe, corpus, accuracy)
        tell(f"the model is {folder.model}")
    fabric.barrier()


class Trainer:
    """Model, optimizers, moving average and streams' state of one run.

    Args:
        recipe: rates and steps.
        fabric: devices and precision.
        objective: what is minimized.
        folder: where checkpoints go.
    """

    def __init__(self, recipe: Recipe, fabric: Fabric, objective: Objective, folder: RunFolder):
        self.recipe, self.fabric, self.folder = recipe, fabric, folder
        self.average = AveragedModel(objective.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema))
        self.objective, *self.optimizers = fabric.setup(
            objective, *optimizers_of(objective, recipe)
        )
        self.average.to(fabric.device)
        self.heard: list[StreamState] = []  # one for the rows of each loader
        if rows := recipe.stream_rows:
            self.heard = [detach(objective.init_state(rows)) for _ in range(recipe.loaders)]

    @property
    def averaged_model(self) -> KeywordModel:
        """The model whose weights are the moving average."""
        model = self.average.module.eval()
        assert isinstance(model, KeywordModel)
        return model

    def restore(self) -> int:
        """Number of the next step: 0, or where the checkpoint left off.

        Raises:
            ValueError: the checkpoint cannot be read, or is not of such a run.
        """
        saved = self.folder.load()
        if saved is None:
            return 0
        try:
            self.objective.load_state_dict(saved["objective"])
            for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            self.average.load_state_dict(saved["average"])
            self.heard = [
                from_leaves(state, [ranks[self.fabric.global_rank] for ranks in of_ranks])
                for state, of_ranks in zip(self.heard, saved["heard"], strict=True)
            ]
            return int(saved["step"])
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{self.folder.checkpoint} is not of this run: {reason}") from None

    def fit(
        self, first: int, loader: Iterable[Step], accuracy: Callable[[KeywordModel], float | None]
    ) -> None:
        """Go through the steps; validate on one device, log and save on the way.

        Raises:
            DivergedError: the norm of a gradient is not finite.
            Interrupted: Ctrl-C.
        """
        main, recipe = self.fabric.is_global_zero, self.recipe
        with (
            ExitStack() as at_the_end,
            StopFlag() as stop,
            Progress(first, recipe.steps, visible=main) as progress,
        ):
            log = Log(self.folder, first) if main else None
            if log:
                at_the_end.callback(log.close)
            for step, batch in enumerate(begun(loader), start=first):
                losses = self.step(step, batch)
                done = step + 1
                stopped = self._any(stop.asked)
                progress.advance(done)
                if done % recipe.log_every == 0 and log:
                    values = {n: v.item() for n, v in losses._asdict().items() if v is not None}
                    log.write(done, values)
                    progress.show(done, values)
                if done % recipe.validate_every == 0 and log and not stopped:
                    value = accuracy(self.averaged_model)
                    if value is not None:
                        log.write(done, {"validation": value})
                        progress.say(f"step {done}: validation {value:.2%}")
                if done % recipe.save_every == 0 or done == recipe.steps or stopped:
                    self.save(done)
                if stopped:
                    raise Interrupted(f"stopped after step {done}")

    def step(self, step: int, batch: Step) -> Losses:
        """One batch, one update."""
        recipe = self.recipe
        torch.manual_seed(recipe.seed * 1_000_003 + step + self.fabric.global_rank * 1_000_000_007)
        set_rates(self.optimizers, step, recipe)
        self.objective.train()
        turn = step % recipe.loaders
        losses: Losses
        losses, heard = self.objective(
            self.fabric.to_device(batch), self.heard[turn] if self.heard else None
        )
        if self.heard:
            self.heard[turn] = heard
        self.fabric.backward(losses.total)
        # Fabric's own clips what one optimizer has.
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), recipe.clip_norm)
        if not math.isfinite(norm.item()):  # of all devices' mean: they agree
            saved = self.folder.checkpoint
            kept = f"{saved} keeps what was saved before; " if saved.is_file() else ""
            raise DivergedError(
                f"step {step + 1}: loss {losses.total.item():.4g}, the norm of its gradient is not "
                f"finite; {kept}try lower rates"
            )
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.average.update_parameters(self.objective.model)
        return losses

    def save(self, step: int) -> None:
        """Checkpoint after `step` steps; every device takes part."""
        heard = [[self._of_all(leaf) for leaf in leaves(state)] for state in self.heard]
        if self.fabric.is_global_zero:
            self.folder.save(
                {
                    "step": step,
                    "objective": self.objective.state_dict(),
                    "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                    "average": self.average.state_dict(),
                    "heard": heard,
                }
            )

    def _of_all(self, leaf: torch.Tensor) -> torch.Tensor:
        """(devices, *leaf.shape): the same tensor of every process."""
        if self.fabric.world_size == 1:
            return leaf[None]
        leaf = leaf.contiguous()
        ranks = [torch.empty_like(leaf) for _ in range(self.fabric.world_size)]
        torch.distributed.all_gather(ranks, leaf)
        return torch.stack(ranks)

    def _any(self, asked: bool) -> bool:
        """Whether any device's process was asked to stop; all of them answer alike."""
        if self.fabric.world_size == 1:
            return asked
        count = torch.tensor(float(asked), device=self.fabric.device)
        self.fabric.all_reduce(count, reduce_op="sum")  # in place
        return bool(count > 0)


def _accuracy(model: KeywordModel, clips: Sequence[LabelledClip]) -> float | None:
    """Share of clips whose class is right, or None where there are none."""
    if not clips:
        return None
    scores = clip_scores(model, [clip.samples for clip in clips])
    truth = np.array([model.config.labels.index(clip.label) for clip in clips])
    return float((scores.argmax(axis=1) == truth).mean())


def _save(
    folder: RunFolder, model: KeywordModel, recipe: Recipe, corpus: Corpus, accuracy: float | None
) -> None:
    sources = sorted({e.source for e in corpus.entries if e.split == "training"})
    keywords = labels_of(model.config.labels).keywords
    card = ModelCard(
        config=model.config,
        training_data=f"{recipe.labels}: {', '.join(sources)}",
        licence="",
        accuracy={} if accuracy is None else {"validation": accuracy},
        detector={"caution": CAUTION},
        thresholds=dict.fromkeys(keywords, THRESHOLD) if recipe.labels == "folder" else {},
    )
    save_model(folder.model, model, card)


def _digest(corpus: Corpus) -> str:
    """Name of what was recorded and where its words are: other recordings, other batches."""
    names = [f"{e.path} {e.split} {e.word} {e.length}" for e in corpus.entries]
    names += [f"{path} {words}" for path, words in sorted(corpus.words.items())]
    return hashlib.sha256(as_bytes("\n".join(names))).hexdigest()[:16]
