"""The image pool against a list and a plain loop."""

import random

import pytest
import torch

from mdir.methods.translation.image_pool import ImagePool


def naive(size, generator, numbers):
    stored, returned = [], []
    for number in numbers:
        if len(stored) < size:
            stored.append(number)
            returned.append(number)
        elif generator.uniform(0, 1) > 0.5:
            index = generator.randint(0, size - 1)
            returned.append(stored[index])
            stored[index] = number
        else:
            returned.append(number)
    return returned


@pytest.mark.parametrize("size, batch", [(1, 1), (3, 1), (3, 2), (5, 4)])
def test_against_a_list(size, batch):
    numbers = torch.arange(24.0).view(-1, batch, 1, 1, 1)
    pool = ImagePool(size, random.Random(7))
    returned = [v for images in numbers for v in pool.query(images).flatten().tolist()]
    assert returned == naive(size, random.Random(7), range(24))


def test_no_pool_gives_the_images_back_without_their_graph():
    images = torch.randn(2, 3, 4, 4, requires_grad=True) * 2
    returned = ImagePool(0, random).query(images)
    assert torch.equal(returned, images)
    assert not returned.requires_grad


def test_stored_images_are_safe_from_changes():
    pool, images = ImagePool(1, random.Random(0)), torch.zeros(1, 1, 1, 1)
    pool.query(images)
    images += 1
    assert float(pool.images[0]) == 0


def test_state_goes_on():
    generator = random.Random(3)
    numbers = torch.arange(20.0).view(-1, 1, 1, 1, 1)
    pool = ImagePool(3, generator)
    for images in numbers[:10]:
        pool.query(images)
    state, position = pool.state_dict(), generator.getstate()
    expected = [float(pool.query(images)) for images in numbers[10:]]
    generator.setstate(position)
    again = ImagePool(3, generator)
    again.load_state_dict(state)
    assert [float(again.query(images)) for images in numbers[10:]] == expected
