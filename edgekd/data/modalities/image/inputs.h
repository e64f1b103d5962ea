// One image from a file, as the model takes it; included after model.h, which holds Element, the type of the input, and
// CHANNELS, HEIGHT, WIDTH, SCALED, MEAN, STD. Whatever inputs.py makes of such a file, this makes too, to the bit.

#pragma once

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

constexpr bool CHANNELS_LAST = std::is_same_v<Element, unsigned char> && CHANNELS > 1;
constexpr std::size_t SAMPLE = CHANNELS * HEIGHT * WIDTH;  // numbers in one sample
constexpr std::int64_t SHAPE[] = {                         // of one sample, without the batch
    CHANNELS_LAST ? HEIGHT : CHANNELS, CHANNELS_LAST ? WIDTH : HEIGHT, CHANNELS_LAST ? CHANNELS : WIDTH};

namespace input {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

[[noreturn]] inline void unreadable(const char* path, std::FILE* file, const char* otherwise) {
    const char* reason = file == nullptr || std::ferror(file) != 0 ? std::strerror(errno) : otherwise;
    throw std::runtime_error("cannot read " + std::string(path) + ": " + reason);
}

// The next word of the header; comments go from '#' to the end of the line. One character after the word is read too.
inline std::string next_field(std::FILE* file) {
    constexpr std::size_t longest = 32;
    int character = std::getc(file);
    bool comment = false;
    while (character != EOF && (comment || character == '#' || std::isspace(character) != 0)) {
        comment = character != '\n' && (comment || character == '#');
        character = std::getc(file);
    }
    std::string field;
    while (character != EOF && std::isspace(character) == 0 && field.size() < longest) {
        field += static_cast<char>(character);
        character = std::getc(file);
    }
    return field;
}

inline bool is_number(const std::string& field, std::size_t& number) {
    const char* end = field.data() + field.size();
    const auto [stop, error] = std::from_chars(field.data(), end, number);
    return error == std::errc() && stop == end && field.size() < 10;
}

// Rows of pixels, each with its channels side by side.
struct Image {
    std::size_t height;
    std::size_t width;
    std::size_t channels;
    std::vector<unsigned char> pixels;
};

// How many bytes a file has from here on.
inline std::uint64_t bytes_left(const char* path, std::FILE* file) {
    const long here = std::ftell(file);
    if (here < 0 || std::fseek(file, 0, SEEK_END) != 0) {
        unreadable(path, nullptr, "");
    }
    const long end = std::ftell(file);
    if (end < here || std::fseek(file, here, SEEK_SET) != 0) {
        unreadable(path, nullptr, "");
    }
    return static_cast<std::uint64_t>(end - here);
}

// A binary PGM or PPM of up to 65,535 levels: of these the highest 8 bits, other numbers of levels stretched to 255.
inline Image decoded(const char* path) {
    const File file(std::fopen(path, "rb"), std::fclose);
    if (!file) {
        unreadable(path, nullptr, "");
    }
    const int first = std::getc(file.get());  // nothing stands before the kind, no comment either
    std::ungetc(first, file.get());
    const std::string kind = first == 'P' ? next_field(file.get()) : "";
    const std::string columns = next_field(file.get());
    const std::string rows = next_field(file.get());
    const std::string white = next_field(file.get());
    Image image{};
    std::size_t levels = 0;
    if ((kind != "P5" && kind != "P6") || !is_number(columns, image.width) || !is_number(rows, image.height) ||
        !is_number(white, levels)) {
        unreadable(path, file.get(), "not a binary PGM or PPM");
    }
    if (image.width == 0 || image.height == 0 || levels == 0 || levels > 65535) {
        throw std::runtime_error("cannot read " + std::string(path) + ": " + std::to_string(image.width) + " x " +
                                 std::to_string(image.height) + " pixels of " + std::to_string(levels) + " levels");
    }
    image.channels = kind == "P5" ? 1 : 3;
    const std::size_t bytes = levels > 255 ? 2 : 1;
    const std::uint64_t needed = std::uint64_t{image.height} * image.width * image.channels * bytes;
    if (bytes_left(path, file.get()) < needed) {
        unreadable(path, file.get(), "the file is cut short");
    }
    std::vector<unsigned char> content(static_cast<std::size_t>(needed));
    if (std::fread(content.data(), 1, content.size(), file.get()) != content.size()) {
        unreadable(path, file.get(), "the file is cut short");
    }
    image.pixels.resize(content.size() / bytes);
    std::size_t highest = 0;
    for (std::size_t at = 0; at < image.pixels.size(); ++at) {
        const std::size_t sample = bytes == 2 ? content[2 * at] * std::size_t{256} + content[2 * at + 1] : content[at];
        const std::size_t pixel = levels == 65535 ? sample >> 8 : (sample * 510 + levels) / (2 * levels);
        image.pixels[at] = static_cast<unsigned char>(pixel);
        highest = std::max(highest, sample);
    }
    if (highest > levels) {
        throw std::runtime_error("cannot read " + std::string(path) + ": a sample of " + std::to_string(highest) +
                                 ", and the file says " + std::to_string(levels) + " levels");
    }
    return image;
}

// With the model's channels: luma of ITU-R BT.601, or grey repeated.
inline Image in_channels(Image image) {
    if (image.channels == CHANNELS) {
        return image;
    }
    const std::size_t area = image.height * image.width;
    Image made{image.height, image.width, CHANNELS, std::vector<unsigned char>(area * CHANNELS)};
    for (std::size_t pixel = 0; pixel < area; ++pixel) {
        const unsigned char* given = &image.pixels[pixel * image.channels];
        std::uint32_t value = given[0];
        if (CHANNELS == 1) {
            value = (given[0] * 19595U + given[1] * 38470U + given[2] * 7471U + 0x8000U) >> 16;
        }
        std::fill_n(&made.pixels[pixel * CHANNELS], CHANNELS, static_cast<unsigned char>(value));
    }
    return made;
}

constexpr int WEIGHT_BITS = 22;  // of a fixed-point weight

// What one place of a scaled axis is made of: places from `first` on, in units of 2^-22.
struct Share {
    std::size_t first;
    std::vector<std::int32_t> weights;
};

// Places of a bilinear filter with antialiasing; see `resized` of inputs.py.
inline std::vector<Share> shares(std::size_t found, std::size_t wanted) {
    const double scale = static_cast<double>(found) / static_cast<double>(wanted);
    const double reach = std::max(scale, 1.0);
    std::vector<Share> made;
    for (std::size_t place = 0; place < wanted; ++place) {
        // volatile: not fused with what comes after it, which would round once less than inputs.py does
        const volatile double centre = (static_cast<double>(place) + 0.5) * scale;
        const auto first = static_cast<std::size_t>(std::max(centre - reach + 0.5, 0.0));
        const std::size_t end = std::min(static_cast<std::size_t>(centre + reach + 0.5), found);
        std::vector<double> triangle;
        double total = 0;
        for (std::size_t at = first; at < end; ++at) {
            const volatile double distance = (static_cast<double>(at) - centre + 0.5) * (1.0 / reach);
            triangle.push_back(std::max(1.0 - std::fabs(distance), 0.0));
            total += triangle.back();
        }
        Share share{first, {}};
        for (const double each : triangle) {
            share.weights.push_back(static_cast<std::int32_t>(0.5 + each / total * (1 << WEIGHT_BITS)));
        }
        made.push_back(share);
    }
    return made;
}

// One axis of `found` places scaled to `wanted`: pixels are `lines` times `found` times `size` bytes.
inline std::vector<unsigned char> resampled(std::vector<unsigned char> pixels, std::size_t lines, std::size_t found,
                                            std::size_t wanted, std::size_t size) {
    if (found == wanted) {
        return pixels;
    }
    std::vector<unsigned char> made(lines * wanted * size);
    const std::vector<Share> all = shares(found, wanted);
    for (std::size_t line = 0; line < lines; ++line) {
        for (std::size_t place = 0; place < wanted; ++place) {
            const Share& share = all[place];
            for (std::size_t byte = 0; byte < size; ++byte) {
                std::int32_t total = 1 << (WEIGHT_BITS - 1);  // a half, so that shifting rounds
                for (std::size_t at = 0; at < share.weights.size(); ++at) {
                    total += share.weights[at] * pixels[(line * found + share.first + at) * size + byte];
                }
                made[(line * wanted + place) * size + byte] =
                    static_cast<unsigned char>(std::min(total >> WEIGHT_BITS, 255));
            }
        }
    }
    return made;
}

// Pixels in the model's size and channels.
inline std::vector<unsigned char> read_pixels(const char* path) {
    Image image = in_channels(decoded(path));
    if (!SCALED && (image.width != WIDTH || image.height != HEIGHT)) {
        throw std::runtime_error(std::string(path) + ": the image is " + std::to_string(image.width) + "x" +
                                 std::to_string(image.height) + ", the model takes " + std::to_string(WIDTH) + "x" +
                                 std::to_string(HEIGHT) + "; resize it as the training images were");
    }
    image.pixels = resampled(std::move(image.pixels), image.height, image.width, WIDTH, CHANNELS);
    return resampled(std::move(image.pixels), 1, image.height, HEIGHT, WIDTH * CHANNELS);
}

// Pixels as the model takes them: as they are, or normalised, in CHW order.
template <typename Number>
std::vector<Number> prepared(std::vector<unsigned char> pixels) {
    if constexpr (std::is_same_v<Number, unsigned char>) {
        return pixels;
    } else {
        constexpr std::size_t area = HEIGHT * WIDTH;
        std::vector<Number> sample(SAMPLE);
        for (std::size_t channel = 0; channel < CHANNELS; ++channel) {
            for (std::size_t pixel = 0; pixel < area; ++pixel) {
                const double share = pixels[pixel * CHANNELS + channel] / 255.0;
                sample[channel * area + pixel] = static_cast<Number>((share - MEAN[channel]) / STD[channel]);
            }
        }
        return sample;
    }
}

}  // namespace input

// A binary PGM or PPM, scaled if the training images were and else of exactly the model's size: the pixels as they are
// for a model that takes bytes, else (pixel / 255 - mean) / std.
inline std::vector<Element> read_input(const char* path) { return input::prepared<Element>(input::read_pixels(path)); }
