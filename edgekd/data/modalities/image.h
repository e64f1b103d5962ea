// One image from a file, as the model takes it; included after model.h, which holds Element, the type of the input, and
// CHANNELS, HEIGHT, WIDTH, MEAN, STD.

#pragma once

#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
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
    return error == std::errc() && stop == end;
}

// Bytes in the file's order: rows of pixels, each with its channels side by side.
inline std::vector<unsigned char> read_pixels(const char* path) {
    const File file(std::fopen(path, "rb"), std::fclose);
    if (!file) {
        unreadable(path, nullptr, "");
    }
    const std::string kind = next_field(file.get());
    const std::string columns = next_field(file.get());
    const std::string rows = next_field(file.get());
    const std::string levels = next_field(file.get());
    std::size_t width = 0;
    std::size_t height = 0;
    if ((kind != "P5" && kind != "P6") || !is_number(columns, width) || !is_number(rows, height) || levels != "255") {
        unreadable(path, file.get(), "not a binary PGM or PPM with 255 levels");
    }
    const std::size_t channels = kind == "P5" ? 1 : 3;
    if (channels != CHANNELS) {
        throw std::runtime_error(std::string(path) + ": channels of the image: " + std::to_string(channels) +
                                 ", of the model: " + std::to_string(CHANNELS));
    }
    if (width != WIDTH || height != HEIGHT) {
        throw std::runtime_error(std::string(path) + ": the image is " + std::to_string(width) + "x" +
                                 std::to_string(height) + ", the model takes " + std::to_string(WIDTH) + "x" +
                                 std::to_string(HEIGHT) + "; resize it as the training images were");
    }
    std::vector<unsigned char> pixels(SAMPLE);
    if (std::fread(pixels.data(), 1, pixels.size(), file.get()) != pixels.size()) {
        unreadable(path, file.get(), "the file is cut short");
    }
    return pixels;
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

// A binary PGM (grey) or PPM (colour) of exactly the model's size: the pixels as they are for a model that takes bytes,
// else (pixel / 255 - mean) / std.
inline std::vector<Element> read_input(const char* path) { return input::prepared<Element>(input::read_pixels(path)); }
