"""A planned batch ramp drives a training, from the files that the plan wrote."""

import numpy as np
import pytest
import torch

from etastar.integrations.torch import RampedBatchSampler, ScheduledLR
from etastar.schedule import InputError, Schedule, load_batch_size, parse_schedule
from tests.helpers.plans import make_batch_plan


@pytest.fixture
def plan():
    return make_batch_plan()


@pytest.fixture(params=["schedule.json", "plan.json", "", "document", "plan"])
def source(request, plan, tmp_path):
    """All that a user may hand over of one plan."""
    plan.save(tmp_path)
    if request.param in ("document", "plan"):
        return plan.to_dict() if request.param == "document" else plan
    return tmp_path / request.param


def test_a_training_takes_the_planned_samples_at_the_planned_lrs(plan, source):
    data, weight = torch.zeros(5000), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = ScheduledLR(optimizer, source)
    sizes, rates = [], []
    for places in RampedBatchSampler(data, source):
        sizes.append(len(places))
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert sum(sizes) == plan.samples == 224_000
    assert len(sizes) == plan.horizon
    assert sizes == [16] * 4000 + [32] * 3000 + [64] * 1000
    np.testing.assert_array_equal(rates, plan.schedule(np.arange(plan.horizon)))


def test_a_schedule_file_without_a_batch_size_has_none(plan, tmp_path):
    path = tmp_path / "schedule.json"
    plan.schedule.save(path)
    assert load_batch_size(path) is None
    plan.schedule.save(path, batch_size=plan.batch_size)
    assert load_batch_size(path) == plan.batch_size
    assert Schedule.load(path) == plan.schedule


def test_a_batch_size_that_is_none_names_the_file(plan, tmp_path):
    path = tmp_path / "schedule.json"
    size = parse_schedule("constant:peak=16,horizon=8000")
    text = plan.schedule.to_json(size).replace('"constant"', '"unheard"')
    path.write_text(text)
    with pytest.raises(InputError, match=r"schedule\.json.*unheard"):
        RampedBatchSampler(10, path)


@pytest.mark.parametrize("ramp", [[[0, 16], [4]], [[0, 0], [10, 4]], [], "16"])
def test_a_ramp_that_is_none_is_an_error(plan, ramp):
    document = plan.to_dict() | {"batch_size": {"start": 16, "end": 64, "ramp": ramp}}
    with pytest.raises(InputError):
        RampedBatchSampler(10, document)
